/**
 * The browser: an installed Chromium, driven through its own protocol.
 *
 * @module
 */
import { type Browser, type BrowserContext, chromium, type Cookie } from "npm:playwright-core@1.65.1";

export type { Browser, BrowserContext, Page } from "npm:playwright-core@1.65.1";

/** Env CHROMIUM names another browser. The flags keep it from asking anything of the outside; a container's root has no sandbox. */
const options = {
  executablePath: Deno.env.get("CHROMIUM") ?? "/usr/bin/chromium",
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
};

/** A browser whose profiles, `newContext()` each, live in its memory. */
export function launch(): Promise<Browser> {
  return chromium.launch(options);
}

/** A browser with the profile in `directory`: started there again, it is the same browser after a restart. */
export function launchProfile(directory: string): Promise<BrowserContext> {
  return chromium.launchPersistentContext(directory, options);
}

/** The session cookie as the browser keeps it. */
export async function sessionCookie(context: BrowserContext): Promise<Cookie | undefined> {
  const [cookie, ...others] = (await context.cookies()).filter(({ name }) => name === "sid");
  if (others.length > 0) throw new Error("The browser has more than one session cookie");
  return cookie;
}
