/** What Chromium does with the requests of a bound session, and what it sends to the endpoint. */
import { assertEquals } from "../helpers/assert.ts";
import { type Browser, launch, type Page } from "../helpers/chromium.ts";
import { FakeClock } from "../helpers/clock.ts";
import { serve } from "../helpers/serve.ts";
import { failing, working } from "../helpers/stores.ts";
import { createBoundApp } from "./_bound_app.ts";
import {
  BOUND,
  BOUND_COOKIE,
  boundSessions,
  expireBoundCookie,
  openPage,
  openWindow,
  soon,
  type Visitor,
  WITHOUT_QUOTA,
} from "./_bound_browser.ts";

const app = await createBoundApp();

const MINUTE = 60_000;

/** A refresh: the browser asks for a challenge, and sends the proof. */
const REFRESH = ["POST /.session/device", "POST /.session/device"];

/** Ten requests at once. Evaluates to their statuses and texts. */
const TEN_REQUESTS = `Promise.all(Array.from({ length: 10 }, async () => {
  const response = await fetch("/page");
  return response.status + " " + /<p>([^<]*)/.exec(await response.text())?.[1];
}))`;

/** Creates a test on the application, with a browser that has not visited it yet. */
function test(name: string, run: (browser: Browser, url: string) => Promise<void>, flag = WITHOUT_QUOTA): void {
  Deno.test(name, async () => {
    await using served = await serve(app.app, app.certificate);
    await using browser = await launch(app.certificate.chromiumFlag, flag);
    app.probe.before = working;
    app.beforeEndpoint = working;
    app.afterEndpoint = working;
    app.takeRequests();
    app.takeEvents();
    await run(browser, served.url.replace("127.0.0.1", "localhost"));
  });
}

/** Signs in and waits until the session is bound. */
async function signIn({ page, devices }: Visitor, url: string): Promise<void> {
  await page.goto(`${url}/sign-in?name=ada`);
  assertEquals(await devices.take(1), ["created: Success"]);
  await page.goto(`${url}/page`);
  assertEquals(await page.title(), "ada, bound");
  assertEquals(app.takeRequests(), ["GET /sign-in", "POST /.session/device", "GET /page"]);
  assertEquals(app.takeEvents(), ["created", "bound"]);
}

async function titleOf(page: Page, url: string): Promise<string> {
  await page.goto(url);
  return await page.title();
}

/** A stop in the application: it says when a request has arrived there, and holds it until it is opened. */
class Stop implements Disposable {
  readonly #arrived = Promise.withResolvers<void>();
  readonly #opened = Promise.withResolvers<void>();
  readonly wait = (): Promise<void> => {
    this.#arrived.resolve();
    return this.#opened.promise;
  };
  readonly open = this.#opened.resolve;

  arrival(): Promise<void> {
    return soon(this.#arrived.promise, "no request has arrived");
  }

  /** The server of a test that has failed waits for its requests. */
  [Symbol.dispose](): void {
    this.open();
  }
}

test(
  "ten requests of two tabs at once over an expired bound cookie cause one refresh, and wait for it",
  async (browser, url) => {
    const visitor = await openWindow(browser);
    await signIn(visitor, url);
    const other = await openPage(visitor.context);
    await other.page.goto(`${url}/page`);
    app.takeRequests();

    await expireBoundCookie(visitor.context);
    const [first, second] = await Promise.all([
      visitor.page.evaluate(TEN_REQUESTS),
      other.page.evaluate(TEN_REQUESTS),
    ]);
    assertEquals([first, second], Array(2).fill(Array(10).fill("200 ada, bound")));
    assertEquals(app.takeRequests(), [...REFRESH, ...Array(20).fill("GET /page")]);
    assertEquals(app.takeEvents(), ["refreshed"]);
    assertEquals(await visitor.devices.take(1), ["refreshed: Success"]);
  },
);

for (
  const [name, path, connect] of [
    ["an event stream", "/stream", "const source = new EventSource('/stream')"],
    ["a WebSocket", "/socket", "const source = new WebSocket('/socket')"],
  ] as const
) {
  test(`${name} over an expired bound cookie waits for the refresh, and works`, async (browser, url) => {
    const visitor = await openWindow(browser);
    await signIn(visitor, url);
    await expireBoundCookie(visitor.context);
    const message = await visitor.page.evaluate(`new Promise((resolve, reject) => {
      ${connect};
      source.onmessage = ({ data }) => {
        source.close();
        resolve(data);
      };
      source.onerror = () => reject(new Error("refused"));
    })`);
    assertEquals(message, "ada, bound");
    assertEquals(app.takeRequests(), [...REFRESH, `GET ${path}`]);
    assertEquals(app.takeEvents(), ["refreshed"]);
  });
}

test("a store that fails at the refresh ends nothing, and the next request refreshes", async (browser, url) => {
  const visitor = await openWindow(browser);
  await signIn(visitor, url);
  await expireBoundCookie(visitor.context);
  app.probe.before = (method) => {
    // Only the first call fails, which is that of the endpoint.
    app.probe.before = working;
    failing()(method);
  };
  using _clock = new FakeClock(Date.now() + MINUTE);
  assertEquals((await visitor.page.goto(`${url}/page`))?.status(), 401);
  assertEquals(await visitor.devices.take(1), ["refreshed: TransientHttpError"]);
  assertEquals(app.takeRequests(), ["POST /.session/device", "GET /page"]);
  assertEquals(app.takeEvents(), ["storeFailed", "boundRefused"]);

  await visitor.page.getByRole("link", { name: "Try again" }).click();
  await visitor.page.getByText("ada, bound").waitFor();
  assertEquals(await visitor.devices.take(1), ["refreshed: Success"]);
  assertEquals(app.takeRequests(), [...REFRESH, "GET /page"]);
  assertEquals(app.takeEvents(), ["refreshed"]);
});

test(
  "regenerate() and a renewed id keep the session bound, also while requests wait for a refresh",
  async (browser, url) => {
    const visitor = await openWindow(browser);
    const { context, page, devices } = visitor;
    await signIn(visitor, url);
    const sid = async (): Promise<string | undefined> =>
      (await context.cookies()).find(({ name }) => name === "sid")?.value;
    const ids = [await sid()];

    await expireBoundCookie(context);
    assertEquals(await titleOf(page, `${url}/regenerate`), "ada, bound");
    ids.push(await sid());
    assertEquals(app.takeEvents(), ["refreshed", "renewed"]);

    using clock = new FakeClock(Date.now() + 31 * MINUTE);
    await expireBoundCookie(context);
    assertEquals(await page.evaluate(TEN_REQUESTS), Array(10).fill("200 ada, bound"));
    ids.push(await sid());
    assertEquals(app.takeEvents(), ["refreshed", "renewed"]);
    assertEquals(new Set(ids).size, 3);

    clock.tick(11 * MINUTE);
    await expireBoundCookie(context);
    assertEquals(await titleOf(page, `${url}/page`), "ada, bound");
    assertEquals(app.takeEvents(), ["refreshed"]);
    assertEquals(await devices.take(3), Array(3).fill("refreshed: Success"));
    assertEquals(await boundSessions(page), ["sid"]);
  },
);

test("a request that the browser has sent before it gets the bound cookie is not refused", async (browser, url) => {
  const { page, devices } = await openWindow(browser);
  using stop = new Stop();
  app.afterEndpoint = stop.wait;
  await page.goto(`${url}/sign-in?name=ada`);
  await stop.arrival();
  assertEquals(app.takeEvents(), ["created", "bound"]);
  assertEquals(await titleOf(page, `${url}/page`), "ada, bound");
  stop.open();
  assertEquals(await devices.take(1), ["created: Success"]);
  assertEquals(app.takeEvents(), []);
});

test(
  "an id that regenerate() changes before the registration arrives is bound with the offer that follows",
  async (browser, url) => {
    const { page, devices } = await openWindow(browser);
    using stop = new Stop();
    app.beforeEndpoint = stop.wait;
    await page.goto(`${url}/sign-in?name=ada`);
    await stop.arrival();
    assertEquals(await titleOf(page, `${url}/regenerate`), "ada, not bound");
    stop.open();
    assertEquals((await devices.take(2)).toSorted(), ["created: PersistentHttpError", "created: Success"]);
    assertEquals(await titleOf(page, `${url}/page`), "ada, bound");
  },
);

test("the refresh of the former session does not spoil the registration of the new one", async (browser, url) => {
  const visitor = await openWindow(browser);
  const { context, page, devices } = visitor;
  await signIn(visitor, url);
  await page.goto(`${url}/sign-out`);
  using stop = new Stop();
  app.beforeEndpoint = stop.wait;
  await page.goto(`${url}/sign-in?name=bob`);
  await stop.arrival();
  app.beforeEndpoint = working;
  await expireBoundCookie(context);
  assertEquals(await titleOf(page, `${url}/page`), "bob, not bound");
  assertEquals(await devices.take(1), ["refreshed: TransientHttpError"]);
  stop.open();
  assertEquals(await devices.take(2), ["ended: Replaced", "created: Success"]);
  assertEquals(await titleOf(page, `${url}/page`), "bob, bound");
  await expireBoundCookie(context);
  assertEquals(await titleOf(page, `${url}/page`), "bob, bound");
});

test("a registration that has failed is offered again by a page ten minutes later", async (browser, url) => {
  const { page, devices } = await openWindow(browser);
  app.probe.before = failing("changeRecord");
  await page.goto(`${url}/sign-in?name=ada`);
  assertEquals(await devices.take(1), ["created: TransientHttpError"]);
  app.probe.before = working;
  assertEquals(await titleOf(page, `${url}/page`), "ada, not bound");
  using _clock = new FakeClock(Date.now() + 10 * MINUTE);
  assertEquals(await titleOf(page, `${url}/page`), "ada, not bound");
  assertEquals(await devices.take(1), ["created: Success"]);
  assertEquals(await titleOf(page, `${url}/page`), "ada, bound");
  assertEquals(app.takeRequests().filter((request) => request.startsWith("POST")).length, 2);
});

test(
  "the sign-in, pages, and the refreshes of half an hour stay within Chromium's quota of signatures",
  async (browser, url) => {
    const visitor = await openWindow(browser);
    const { context, page, devices } = visitor;
    using clock = new FakeClock(Date.now());
    await signIn(visitor, url);
    for (let refreshes = 1; refreshes <= 3; refreshes++) {
      for (let i = 0; i < 5; i++) {
        // Each challenge is another one, because Chromium signs the same one only once.
        clock.tick(1000);
        assertEquals(await titleOf(page, `${url}/page`), "ada, bound");
      }
      clock.tick(10 * MINUTE);
      await expireBoundCookie(context);
      assertEquals(await titleOf(page, `${url}/page`), "ada, bound");
      assertEquals(await devices.take(1), ["refreshed: Success"]);
    }
    assertEquals(app.takeRequests().filter((request) => request.startsWith("POST")).length, 3 * REFRESH.length);
  },
  BOUND,
);

test("destroy() ends the bound session in the browser with the next refresh", async (browser, url) => {
  const visitor = await openWindow(browser);
  const { context, page, devices } = visitor;
  await signIn(visitor, url);
  await page.goto(`${url}/sign-out`);
  assertEquals(await boundSessions(page), ["sid"]);
  await expireBoundCookie(context);
  assertEquals(await titleOf(page, `${url}/page`), "nobody, not bound");
  assertEquals(await devices.take(2), ["refreshed: ServerRequestedTermination", "ended: ServerRequested"]);
  assertEquals(await boundSessions(page), []);
  assertEquals(app.takeRequests(), ["GET /sign-out", "POST /.session/device", "GET /page"]);
});

test("Clear-Site-Data with the sign-out ends the bound session in the browser at once", async (browser, url) => {
  const visitor = await openWindow(browser);
  const { context, page, devices } = visitor;
  await signIn(visitor, url);
  await page.goto(`${url}/sign-out-and-clear`);
  assertEquals(await devices.take(1), ["ended: StoragePartitionCleared"]);
  assertEquals(await boundSessions(page), []);
  await expireBoundCookie(context);
  app.takeRequests();
  assertEquals(await titleOf(page, `${url}/page`), "nobody, not bound");
  assertEquals(app.takeRequests(), ["GET /page"]);
});

test("a browser without support sends no extra request, and has an ordinary session", async (browser, url) => {
  const { context, page } = await openWindow(browser);
  await page.goto(`${url}/sign-in?name=ada`);
  assertEquals(await titleOf(page, `${url}/page`), "ada, not bound");
  assertEquals(await page.evaluate(TEN_REQUESTS), Array(10).fill("200 ada, not bound"));
  assertEquals(app.takeRequests(), ["GET /sign-in", ...Array(11).fill("GET /page")]);
  assertEquals(app.takeEvents(), ["created"]);
  assertEquals((await context.cookies()).some(({ name }) => name === BOUND_COOKIE), false);
}, "--disable-features=DeviceBoundSessions");
