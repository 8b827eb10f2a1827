import { assertEquals } from "../helpers/assert.ts";
import { contextOf, merged, setCookies, signUp, start, visit } from "../helpers/request.ts";
import { forbidSharedCaching, markPrivate, removeTargetedHeaders } from "../../src/cookie/cache_headers.ts";
import type { Session } from "../../mod.ts";
import { Content, Redirect } from "alosaur/mod.ts";

Deno.test("markPrivate() keeps the response out of shared caches and keeps the rest of Cache-Control", () => {
  const cases: [before: string | undefined, after: string][] = [
    [undefined, "private"],
    ["", "private"],
    ["public", "private"],
    ["public, max-age=60", "private, max-age=60"],
    ["max-age=60, s-maxage=600, immutable", "private, max-age=60, immutable"],
    ["PUBLIC, S-MaxAge=600", "private"],
    ['private="set-cookie"', 'private, private="set-cookie"'],
    ["private", "private"],
    ["Private, max-age=60", "Private, max-age=60"],
    ["no-store", "no-store"],
    ["public, no-cache", "public, no-cache"],
  ];
  for (const [before, after] of cases) {
    const headers = new Headers(before === undefined ? {} : { "cache-control": before });
    markPrivate(headers);
    assertEquals(headers.get("cache-control"), after, before);
  }
});

Deno.test("forbidSharedCaching() sets no-store unless the application says no-store or private", () => {
  const cases: [before: string | undefined, after: string][] = [
    [undefined, "no-store"],
    ["public, max-age=60", "no-store"],
    ["no-cache", "no-store"],
    ["private, max-age=60", "private, max-age=60"],
    ["No-Store", "No-Store"],
  ];
  for (const [before, after] of cases) {
    const headers = new Headers(before === undefined ? {} : { "cache-control": before });
    forbidSharedCaching(headers);
    assertEquals(headers.get("cache-control"), after, before);
  }
});

Deno.test("A header for one kind of cache is removed if it allows more than Cache-Control", () => {
  const names = [
    "CDN-Cache-Control",
    "Cloudflare-CDN-Cache-Control",
    "Netlify-CDN-Cache-Control",
    "Vercel-CDN-Cache-Control",
    "Surrogate-Control",
    "Edge-Control",
    "X-Accel-Expires",
  ];
  const cases: [value: string, afterPrivate: string | null, afterNoStore: string | null][] = [
    ["max-age=600", null, null],
    ["no-cache", "no-cache", null],
    ["private", "private", "private"],
    ["no-store", "no-store", "no-store"],
    ["0", "0", "0"],
  ];
  for (const name of names) {
    for (const [value, afterPrivate, afterNoStore] of cases) {
      const read = new Headers({ [name]: value });
      markPrivate(read);
      removeTargetedHeaders(read);
      assertEquals(read.get(name), afterPrivate, `${name}: ${value}`);
      const set = new Headers({ [name]: value });
      forbidSharedCaching(set);
      removeTargetedHeaders(set);
      assertEquals(set.get(name), afterNoStore, `${name}: ${value}`);
    }
  }
});

/** What an action may do with the session, and the `Cache-Control` of its response. */
const ACTIONS: Record<string, [act: (session: Session) => unknown, cacheControl: string | null]> = {
  "reads a value": [(session) => session.get("user"), "private"],
  "asks for a value": [(session) => session.has("user"), "private"],
  "reads all values": [(session) => session.entries(), "private"],
  "takes a value": [(session) => session.take("flash"), "private"],
  "updates a value": [(session) => session.update("n", () => 1), "private"],
  "reads the principal": [(session) => session.principal, "private"],
  "reads the expiry": [(session) => session.expiresAt, "private"],
  "reads the CSRF token": [(session) => session.csrfToken(), "private"],
  "writes a value": [(session) => session.set("n", 1), null],
  "does nothing": [() => {}, null],
  "gives it a new id": [(session) => session.regenerate(), "no-store"],
  "destroys it": [(session) => session.destroy(), "no-store"],
};

for (const [what, [act, expected]] of Object.entries(ACTIONS)) {
  Deno.test(`SessionMiddleware says Cache-Control: ${expected} if an action ${what}`, async () => {
    const middleware = start();
    for (const result of ["text", { a: 1 }, Content("page"), Redirect("/next"), new Response("native")]) {
      const cookie = await signUp(middleware);
      const response = await visit(middleware, { cookie }, async ({ security: { session } }) => {
        await act(session);
        return result;
      });
      assertEquals(response.headers.get("cache-control"), expected);
    }
  });
}

Deno.test("SessionMiddleware removes a header for one kind of cache from every kind of result", async () => {
  const middleware = start();
  const headers = { "cdn-cache-control": "max-age=600" };
  const withHeader = Content("page");
  withHeader.headers.set("cdn-cache-control", "max-age=600");
  const results = [
    ["text", headers],
    [withHeader, {}],
    [new Response("native", { headers }), {}],
  ] as const;
  for (const [result, contextHeaders] of results) {
    for (const act of [(session: Session) => session.get("user"), (session: Session) => session.destroy()]) {
      const cookie = await signUp(middleware);
      const response = await visit(middleware, { cookie }, async ({ security: { session }, response }) => {
        for (const [name, value] of Object.entries(contextHeaders)) response.headers.set(name, value);
        await act(session);
        return result instanceof Response ? result.clone() : result;
      });
      assertEquals(response.headers.get("cdn-cache-control"), null);
    }
  }
});

Deno.test("SessionMiddleware marks no shared result as private", async () => {
  const middleware = start();
  const cookie = await signUp(middleware);
  for (const shared of [Content("page"), new Response("page")]) {
    await visit(middleware, { cookie }, async ({ security: { session } }) => {
      await session.get("user");
      return shared;
    });
    assertEquals(shared.headers.get("cache-control"), null);
  }
});

Deno.test("SessionMiddleware keeps the Cache-Control of an application that restricts caches itself", async () => {
  const middleware = start();
  const cookie = await signUp(middleware);
  for (const [own, sent] of [["no-cache", "no-cache"], ["public, max-age=5", "private, max-age=5"]] as const) {
    const response = await visit(middleware, { cookie }, async ({ security: { session }, response }) => {
      response.headers.set("cache-control", own);
      response.headers.set("surrogate-control", "max-age=600");
      return await session.get("user");
    });
    assertEquals([response.headers.get("cache-control"), response.headers.get("surrogate-control")], [sent, null]);
  }
});

Deno.test("privateResponses: false leaves the Cache-Control of a response that sets no cookie unchanged", async () => {
  const middleware = start({ privateResponses: false });
  const cookie = await signUp(middleware);
  const response = await visit(middleware, { cookie }, async ({ security: { session }, response }) => {
    response.headers.set("cache-control", "public, max-age=60");
    return `${await session.get("user")} ${session.principal}`;
  });
  assertEquals(response.headers.get("cache-control"), "public, max-age=60");
  assertEquals(
    (await visit(middleware, {}, ({ security }) => security.session.set("a", 1))).headers.get("cache-control"),
    "no-store",
  );
});

Deno.test("a response of two middlewares that is merged twice is stored by no cache if one of them sets a cookie", async () => {
  for (const writer of ["first", "second"]) {
    const context = contextOf();
    for (const name of ["first", "second"]) {
      await start({ name }).onPreRequest(context);
      const { session } = context.security;
      await (name === writer ? session.set("a", 1) : session.get("a"));
    }
    context.response.result = "ok";
    for (const time of ["once", "twice"]) {
      const { headers } = merged(context);
      const names = setCookies(headers).map(({ name }) => name);
      assertEquals([time, names, headers.get("cache-control")], [time, [writer], "no-store"]);
    }
  }
});
