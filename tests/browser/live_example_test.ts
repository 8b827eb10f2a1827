import { assertEquals, assertMatch, assertNotEquals } from "../helpers/assert.ts";
import { type BrowserContext, launch, type Page } from "../helpers/chromium.ts";
import { startExample } from "../helpers/example.ts";

/** Signs in and waits until the stream has sent something. Returns the page and what it shows. */
async function signIn(context: BrowserContext, url: string): Promise<{ page: Page; shown: string }> {
  const page = await context.newPage();
  await page.goto(url);
  if (await page.locator("#user").count() === 0) {
    await page.getByLabel("Name").fill("Ada");
    await page.getByRole("button", { name: "Sign in" }).click();
  }
  const shown = await time(page, "…");
  return { page, shown };
}

/** Waits until the page shows another time, and returns it. */
async function time(page: Page, before: string): Promise<string> {
  const text = page.locator("#time").filter({ hasNotText: before });
  await text.waitFor();
  return await text.textContent() ?? "";
}

Deno.test("examples/live shows what the server says until the visitor signs out in another tab", async () => {
  await using example = await startExample("live");
  await using browser = await launch();
  const context = await browser.newContext();
  const first = await signIn(context, example.url);
  assertMatch(first.shown, /^\d\d:\d\d:\d\d$/);
  assertNotEquals(await time(first.page, first.shown), first.shown);
  const second = await signIn(context, example.url);
  const requests: string[] = [];
  first.page.on("request", (request) => requests.push(new URL(request.url()).pathname));

  await second.page.getByRole("button", { name: "Sign out" }).click();
  await second.page.getByLabel("Name").waitFor();
  await first.page.getByLabel("Name").waitFor();
  assertEquals(await first.page.title(), "Sign in");
  assertEquals(requests.includes("/events"), false, "the browser does not connect again");
});

Deno.test("examples/live opens no stream to a visitor who is not signed in", async () => {
  await using example = await startExample("live");
  const response = await fetch(new URL("/events", example.url));
  assertEquals([response.status, response.headers.get("set-cookie"), await response.text()], [204, null, ""]);
});
