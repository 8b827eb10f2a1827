/**
 * Takes the screenshot of the README: the page of a signed-in user in examples/login, with devices.
 *
 * @module
 */
import { type Browser, launch, type Page } from "../tests/helpers/chromium.ts";
import { startExample } from "../tests/helpers/example.ts";

const PICTURE = new URL("../docs/login-devices.png", import.meta.url);

/** The devices of the picture, by their User-Agent header. */
const DEVICES = [
  "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
  "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
  "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/146.0.0.0 Safari/537.36",
];

/** Signs a user in and returns the page. */
async function signIn(browser: Browser, url: string, userAgent: string): Promise<Page> {
  const context = await browser.newContext({ userAgent, viewport: { width: 760, height: 560 }, deviceScaleFactor: 1 });
  const page = await context.newPage();
  await page.goto(url);
  await page.getByLabel("Name").fill("Ada");
  await page.getByLabel("Password").fill("open sesame");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("button", { name: "Sign out", exact: true }).first().waitFor();
  return page;
}

await using example = await startExample("login");
await using browser = await launch();
let page = await signIn(browser, example.url, DEVICES[0] ?? "");
for (const device of DEVICES.slice(1)) page = await signIn(browser, example.url, device);
// Without the notice that is shown once.
await page.goto(example.url);
await Deno.writeFile(PICTURE, await page.screenshot({ fullPage: true }));
console.log(`Written: ${PICTURE.pathname.split("/").slice(-2).join("/")}`);
