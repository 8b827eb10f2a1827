/** examples/bound in Chromium, which binds the session to a key in software. */
import { setTimeout as delay } from "node:timers/promises";
import { makeCertificate } from "../../examples/bound/certificate.ts";
import { assert, assertEquals, assertMatch } from "../helpers/assert.ts";
import { type BrowserContext, launch, launchProfile, type Page } from "../helpers/chromium.ts";
import { type RunningExample, startExample } from "../helpers/example.ts";
import { trustingClient } from "../helpers/tls.ts";
import {
  BOUND,
  BOUND_COOKIE,
  boundSessions,
  expireBoundCookie,
  openPage,
  openWindow,
  WITHOUT_QUOTA,
} from "./_bound_browser.ts";

const BOUND_TEXT = /^This session is bound to this device since [\d: -]+ UTC, with ES256\.$/;

/** The example, and the flag that it prints for Chromium. */
interface BoundExample extends RunningExample {
  readonly flag: string;
}

async function start(): Promise<BoundExample> {
  const example = await startExample("bound");
  const [, flag = ""] = await example.printed(/^Start Chromium with (\S+)/);
  return { ...example, flag };
}

async function signIn(page: Page, url: string): Promise<void> {
  await page.goto(url);
  await page.getByLabel("Name").fill("Ada");
  await page.getByRole("button", { name: "Sign in" }).click();
}

/** Waits until the page says that the session is bound. */
async function waitUntilBound(page: Page): Promise<void> {
  await page.getByRole("status").filter({ hasText: /bound to this device/ }).waitFor();
}

async function playTheThief(page: Page): Promise<void> {
  await page.getByRole("button", { name: "Play the thief" }).click();
  await page.locator("#one").waitFor();
}

/** A Cookie header with some of the cookies of a browser. */
async function copyCookies(context: BrowserContext, ...names: string[]): Promise<string> {
  const cookies = await context.cookies();
  return cookies.filter(({ name }) => names.includes(name)).map(({ name, value }) => `${name}=${value}`).join("; ");
}

/** Requests the page from another device, with copied cookies. Returns the status and the user that the page shows. */
async function steal(url: string, cookie: string): Promise<[status: number, user: string | undefined]> {
  using client = await trustingClient(url);
  const response = await fetch(url, { client, headers: { cookie } });
  const [, user] = /id="user">([^<]+)</.exec(await response.text()) ?? [];
  return [response.status, user];
}

/** Waits until the server refuses copied cookies. It accepts them for five seconds after the binding. */
async function waitUntilRefused(url: string, cookie: string): Promise<void> {
  const deadline = performance.now() + 20_000;
  while ((await steal(url, cookie))[0] !== 401) {
    assert(performance.now() < deadline, "the copied cookies are still accepted");
    await delay(100);
  }
}

Deno.test("examples/bound shows that Chromium has bound the session", async () => {
  await using example = await start();
  await using browser = await launch(example.flag, BOUND);
  const { context, page, devices } = await openWindow(browser);
  await signIn(page, example.url);
  await waitUntilBound(page);

  assertMatch(await page.getByRole("status").textContent() ?? "", BOUND_TEXT);
  assertEquals(await page.locator("#sessions li").count(), 1);
  assertMatch(await page.locator("#sessions li").textContent() ?? "", /Bound [\d: -]+ UTC with ES256/);
  assertEquals(await devices.take(1), ["created: Success"]);
  const { httpOnly, secure, sameSite } = (await context.cookies()).find(({ name }) => name === BOUND_COOKIE) ?? {};
  assertEquals({ httpOnly, secure, sameSite }, { httpOnly: true, secure: true, sameSite: "Lax" });
});

Deno.test("examples/bound says that a browser without support has an ordinary session, and lists it as not bound", async () => {
  await using example = await start();
  await using bound = await launch(example.flag, BOUND);
  const other = await openWindow(bound);
  await signIn(other.page, example.url);
  await waitUntilBound(other.page);

  await using browser = await launch(example.flag);
  const { context, page } = await openWindow(browser);
  await signIn(page, example.url);
  await page.getByRole("status").filter({ hasText: "your browser does not support it" }).waitFor();
  const items = await page.locator("#sessions li").allTextContents();
  assertEquals(items.map((item) => [item.includes("This session"), item.includes("Not bound")]).toSorted(), [
    [false, false],
    [true, true],
  ]);
  assertEquals((await context.cookies()).map(({ name }) => name), ["sid"]);
  await playTheThief(page);
  assertEquals(await page.locator("dd").allTextContents(), ["200: your page"]);
});

Deno.test("examples/bound refuses a thief without the bound cookie at once, and with both cookies when the bound one has expired", async () => {
  await using example = await start();
  await using browser = await launch(example.flag, BOUND);
  const { context, page } = await openWindow(browser);
  await signIn(page, example.url);
  await waitUntilBound(page);
  await playTheThief(page);
  assertEquals(await page.locator("dd").allTextContents(), ["401: refused", "200: your page"]);

  const one = await copyCookies(context, "sid");
  const both = await copyCookies(context, "sid", BOUND_COOKIE);
  assertEquals([await steal(example.url, one), await steal(example.url, both)], [[401, undefined], [200, "Ada"]]);
  // The bound cookie lasts for ten minutes, and the server accepts it for half a minute longer.
  await example.waitTenMinutes();
  await example.waitTenMinutes();
  assertEquals([await steal(example.url, one), await steal(example.url, both)], [[401, undefined], [401, undefined]]);

  // The session is still there for the browser that has the key.
  await expireBoundCookie(context);
  await page.goto(example.url);
  await waitUntilBound(page);
});

Deno.test("signing out of examples/bound ends the session, and the browser drops its bound session with the next refresh", async () => {
  await using example = await start();
  await using browser = await launch(example.flag, BOUND);
  const { context, page, devices } = await openWindow(browser);
  await signIn(page, example.url);
  await waitUntilBound(page);
  assertEquals(await devices.take(1), ["created: Success"]);
  const both = await copyCookies(context, "sid", BOUND_COOKIE);

  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByLabel("Name").waitFor();
  assertEquals(await steal(example.url, both), [200, undefined]);
  await example.waitTenMinutes();
  await expireBoundCookie(context);
  assertEquals((await page.goto(example.url))?.status(), 200);
  assertEquals(await devices.take(2), ["refreshed: ServerRequestedTermination", "ended: ServerRequested"]);
  assertEquals(await boundSessions(page), []);
});

Deno.test("a second sign-in in the same browser replaces the key, whether or not the first bound cookie has expired", async () => {
  await using example = await start();
  await using browser = await launch(example.flag, WITHOUT_QUOTA);
  for (
    const [isExpired, expected] of [
      [false, ["ended: Replaced", "created: Success"]],
      [true, ["refreshed: ServerRequestedTermination", "ended: ServerRequested", "created: Success"]],
    ] as const
  ) {
    const { context, page, devices } = await openWindow(browser);
    await signIn(page, example.url);
    await waitUntilBound(page);
    assertEquals(await devices.take(1), ["created: Success"]);
    const first = await copyCookies(context, BOUND_COOKIE);
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByLabel("Name").waitFor();
    if (isExpired) {
      await example.waitTenMinutes();
      await expireBoundCookie(context);
    }

    await signIn(page, example.url);
    await waitUntilBound(page);
    assertEquals(await devices.take(expected.length), [...expected]);
    assertEquals(await boundSessions(page), ["sid"]);
    const session = await copyCookies(context, "sid");
    const second = await copyCookies(context, BOUND_COOKIE);
    await waitUntilRefused(example.url, `${session}; ${first}`);
    assertEquals(await steal(example.url, `${session}; ${second}`), [200, "Ada"]);
  }
});

Deno.test("a browser that has been restarted refreshes its bound cookie with the same key", async () => {
  await using example = await start();
  const directory = await Deno.makeTempDir({ prefix: "profile_" });
  try {
    {
      await using context = await launchProfile(directory, example.flag, BOUND);
      const { page } = await openPage(context);
      await signIn(page, example.url);
      await waitUntilBound(page);
    }
    await using context = await launchProfile(directory, example.flag, BOUND);
    await expireBoundCookie(context);
    const { page, devices } = await openPage(context);
    await page.goto(example.url);
    await waitUntilBound(page);
    assertEquals(await devices.take(1), ["refreshed: Success"]);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

for (
  const [site, host, initiator] of [
    ["another site", "other.example", "cross-site"],
    ["a sibling subdomain", "www.site.example", "same-site"],
  ] as const
) {
  Deno.test(`a link from ${site} with an expired bound cookie leads to the page, without a loop`, async () => {
    await using example = await start();
    const url = example.url.replace("localhost", "app.site.example");
    const certificate = await makeCertificate();
    const sites: (string | null)[] = [];
    await using linking = Deno.serve(
      { hostname: "127.0.0.1", port: 0, cert: certificate.cert, key: certificate.key, onListen(): void {} },
      () => new Response(`<a href="${url}">To the page</a>`, { headers: { "content-type": "text/html" } }),
    );
    const hashes = [example.flag, certificate.chromiumFlag.replace(/^[^=]+=/, "")].join();
    await using browser = await launch(hashes, BOUND, "--host-resolver-rules=MAP *.example 127.0.0.1");
    const { context, page, devices } = await openWindow(browser);
    await signIn(page, url);
    await waitUntilBound(page);
    assertEquals(await devices.take(1), ["created: Success"]);
    await example.waitTenMinutes();
    await expireBoundCookie(context);

    const statuses: number[] = [];
    page.on("response", async (response) => {
      if (response.url() !== url) return;
      statuses.push(response.status());
      sites.push((await response.request().allHeaders())["sec-fetch-site"] ?? null);
    });
    await page.goto(`https://${host}:${linking.addr.port}/`);
    await page.getByRole("link").click();
    await waitUntilBound(page);
    assertEquals(statuses, [401, 200]);
    assertEquals(sites[0], initiator);
    assertEquals(await devices.take(1), ["refreshed: Success"]);
    // The page with status 401 is not in the history.
    // Later, because the navigation would take the result away.
    await page.evaluate("void setTimeout(() => history.back())");
    await page.getByRole("link").waitFor();
  });
}

Deno.test("the page that refuses a browser without the key lets it sign in again, and the owner's session continues", async () => {
  await using example = await start();
  await using browser = await launch(example.flag, BOUND);
  const owner = await openWindow(browser);
  await signIn(owner.page, example.url);
  await waitUntilBound(owner.page);

  const thief = await openWindow(browser);
  await thief.context.addCookies(await owner.context.cookies());
  await example.waitTenMinutes();
  await example.waitTenMinutes();
  assertEquals((await thief.page.goto(example.url))?.status(), 401);
  await thief.page.getByRole("link", { name: "Try again" }).click();
  await thief.page.getByRole("button", { name: "Sign in again" }).click();
  await thief.page.getByLabel("Name").waitFor();
  assertEquals((await thief.context.cookies()).map(({ name }) => name), ["sid"]);
  await expireBoundCookie(owner.context);
  await owner.page.goto(example.url);
  await waitUntilBound(owner.page);
});
