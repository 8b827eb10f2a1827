import { assertEquals, assertMatch, assertNotEquals } from "../helpers/assert.ts";
import { type BrowserContext, launch, type Page } from "../helpers/chromium.ts";
import { type RunningExample, startExample } from "../helpers/example.ts";
import { ownServer, postgresCanBeStarted } from "../servers/_postgres.ts";
import { findRedisServer, startRedis } from "../servers/_redis.ts";
import { isThere } from "../servers/_require.ts";

/** Signs in and waits until the stream and the socket have sent something. */
async function signIn(context: BrowserContext, url: string): Promise<{ page: Page; shown: string }> {
  const page = await context.newPage();
  await page.goto(url);
  if (await page.locator("#user").count() === 0) {
    await page.getByLabel("Name").fill("Ada");
    await page.getByRole("button", { name: "Sign in" }).click();
  }
  const shown = await time(page, "…");
  await page.locator("#socket", { hasText: /^open$/ }).waitFor();
  return { page, shown };
}

/** Waits until the page shows another time, and returns it. */
async function time(page: Page, before: string): Promise<string> {
  const text = page.locator("#time").filter({ hasNotText: before });
  await text.waitFor();
  return await text.textContent() ?? "";
}

/** Collects the requests of a page, and the statuses with which its sockets are closed. */
async function observe(page: Page): Promise<{ requests: string[]; closed: unknown[] }> {
  const requests: string[] = [];
  const closed: unknown[] = [];
  page.on("request", (request) => requests.push(new URL(request.url()).pathname));
  await page.exposeFunction("socketClosed", (code: unknown) => void closed.push(code));
  await page.evaluate("socket.addEventListener('close', ({ code }) => socketClosed(code))");
  return { requests, closed };
}

Deno.test("examples/live shows what the server says until the visitor signs out in another tab", async () => {
  await using example = await startExample("live");
  await using browser = await launch();
  const context = await browser.newContext();
  const first = await signIn(context, example.url);
  assertMatch(first.shown, /^\d\d:\d\d:\d\d$/);
  assertNotEquals(await time(first.page, first.shown), first.shown);
  const second = await signIn(context, example.url);
  const { requests, closed } = await observe(first.page);

  await second.page.getByRole("button", { name: "Sign out", exact: true }).click();
  await second.page.getByLabel("Name").waitFor();
  await first.page.getByLabel("Name").waitFor();
  assertEquals(await first.page.title(), "Sign in");
  assertEquals([requests.includes("/events"), closed], [false, [4001]], "the browser does not connect again");
});

/** Signs a user out of all devices in a browser, and expects the page of another one to end. */
async function signsOutElsewhere(here: RunningExample, there: RunningExample): Promise<void> {
  await using browser = await launch();
  const first = await signIn(await browser.newContext(), here.url);
  const second = await signIn(await browser.newContext(), there.url);
  const { requests, closed } = await observe(first.page);
  await second.page.getByRole("button", { name: "Sign out on all devices" }).click();
  await first.page.getByLabel("Name").waitFor();
  assertEquals([requests.includes("/events"), closed], [false, [4001]]);
}

const TITLE = "examples/live ends the stream and the socket when the user signs out in another browser";

Deno.test(`${TITLE}, in one process`, async () => {
  await using example = await startExample("live");
  await signsOutElsewhere(example, example);
});

async function inTwoProcesses(url: string): Promise<void> {
  await using here = await startExample("live", { STORE_URL: url });
  await using there = await startExample("live", { STORE_URL: url });
  await signsOutElsewhere(here, there);
}

if (await isThere("redis", TITLE, findRedisServer)) {
  Deno.test(`${TITLE}, in another process on Redis`, async () => {
    await using redis = await startRedis();
    await inTwoProcesses(redis.url);
  });
}

if (await postgresCanBeStarted(TITLE)) {
  Deno.test(`${TITLE}, in another process on PostgreSQL`, async () => {
    await using server = await ownServer();
    await server.start();
    await inTwoProcesses(server.url);
  });
}

Deno.test("examples/live opens no stream and no socket to a visitor who is not signed in, or to another site", async () => {
  await using example = await startExample("live");
  const response = await fetch(new URL("/events", example.url));
  assertEquals([response.status, response.headers.get("set-cookie"), await response.text()], [204, null, ""]);
  const upgrade = await fetch(new URL("/socket", example.url), { headers: { origin: new URL(example.url).origin } });
  assertEquals([upgrade.status, await upgrade.text()], [403, ""]);
});
