/**
 * Runs an installed Chromium and drives it over its DevTools protocol.
 *
 * @module
 */
import { type Browser, type BrowserContext, chromium, type Cookie } from "npm:playwright-core@1.65.1";

export type { Browser, BrowserContext, Page } from "npm:playwright-core@1.65.1";

/**
 * The environment variable CHROMIUM names another executable. The flags stop requests of the
 * browser's own. The sandbox does not work for root in a container.
 */
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
  // Playwright turns the back/forward cache off, which users have. If a page is restored from it,
  // `page.goBack()` waits in vain.
  ignoreDefaultArgs: ["--disable-back-forward-cache"],
};

/**
 * Starts a browser. Each `newContext()` is a profile in memory.
 *
 * @param args more flags
 */
export function launch(...args: string[]): Promise<Browser> {
  return chromium.launch({ ...options, args: [...options.args, ...args] });
}

/**
 * Starts a browser with the profile in `directory`. Starting it again there is a restart of the
 * same browser.
 *
 * @param args more flags
 */
export function launchProfile(directory: string, ...args: string[]): Promise<BrowserContext> {
  return chromium.launchPersistentContext(directory, { ...options, args: [...options.args, ...args] });
}

/** Returns the session cookie from the browser. */
export async function sessionCookie(context: BrowserContext): Promise<Cookie | undefined> {
  const [cookie, ...others] = (await context.cookies()).filter(({ name }) => name === "sid");
  if (others.length > 0) throw new Error("The browser has more than one session cookie");
  return cookie;
}
