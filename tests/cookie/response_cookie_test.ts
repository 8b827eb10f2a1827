import { assert, assertEquals, assertNotEquals, assertStrictEquals } from "../helpers/assert.ts";
import {
  contextOf,
  cookieOf,
  merged,
  onlyCookie,
  read,
  SECRET,
  setCookies,
  signUp,
  start,
  visit,
} from "../helpers/request.ts";
import { CookiePolicy } from "../../src/cookie/cookie_policy.ts";
import { ResponseCookie } from "../../src/cookie/response_cookie.ts";
import { Reporter } from "../../src/events.ts";
import { resolveOptions } from "../../src/resolve_options.ts";
import { Content, NoContent, Redirect } from "alosaur/mod.ts";

function policyOf(): CookiePolicy {
  return new CookiePolicy(resolveOptions({ secret: SECRET }), new Reporter(undefined, String), {
    contextKey: Symbol(),
  });
}

const RESULTS: [string, () => unknown, number][] = [
  ["a string", () => "ok", 200],
  ["an object", () => ({ a: 1 }), 200],
  ["a number", () => 7, 200],
  ["Content", () => Content("made", 201), 201],
  ["NoContent", () => NoContent(), 204],
  ["Redirect", () => Redirect("/next"), 302],
  ["a native Response", () => new Response("body", { status: 202, statusText: "Fine", headers: { "x-a": "1" } }), 202],
  ["an immutable Response", () => Response.redirect("http://localhost/next", 303), 303],
  ["a Response without a body", () => new Response(null, { status: 204 }), 204],
  ["a Response of json", () => Response.json({ a: 1 }), 200],
];

Deno.test("ResponseCookie reaches the client with", async (t) => {
  for (const [name, make, status] of RESULTS) {
    await t.step(name, async () => {
      const middleware = start();
      const response = await visit(middleware, {}, async ({ security: { session } }) => {
        await session.set("user", "ada");
        return make();
      });
      assertEquals(response.status, status);
      assertEquals(await read(middleware, cookieOf(response)), "ada");
      assertEquals(response.headers.get("cache-control"), "no-store");
    });
  }
  await t.step("response.body", async () => {
    const middleware = start();
    const context = contextOf();
    await middleware.onPreRequest(context);
    await context.security.session.set("user", "ada");
    context.response.body = "written by hand";
    context.response.status = 418;
    const response = merged(context);
    assertEquals([response.status, await response.text()], [418, "written by hand"]);
    assertEquals(await read(middleware, cookieOf(response)), "ada");
  });
});

Deno.test("ResponseCookie keeps the body, the status and the headers of a native Response", async () => {
  const response = await visit(start(), {}, async ({ security: { session } }) => {
    await session.set("user", "ada");
    const headers = new Headers({ "x-a": "1" });
    headers.append("set-cookie", "theme=dark; Path=/");
    headers.append("set-cookie", "lang=en");
    return new Response("body", { status: 202, statusText: "Fine", headers });
  });
  assertEquals([response.status, response.statusText, await response.text()], [202, "Fine", "body"]);
  assertEquals(response.headers.get("x-a"), "1");
  assertEquals(setCookies(response.headers).map(({ name }) => name), ["theme", "lang", "sid"]);
});

Deno.test("ResponseCookie leaves a response unchanged if it has no session cookie to set", async () => {
  const native = new Response("body", { headers: { "set-cookie": "theme=dark", "cache-control": "public" } });
  const response = await visit(start(), {}, () => native);
  assertEquals(response.headers.getSetCookie(), ["theme=dark"]);
  assertEquals(response.headers.get("cache-control"), "public");
  const plain = new Response("body");
  assertStrictEquals(await visit(start(), {}, () => plain), plain);
});

Deno.test("ResponseCookie leaves a response unchanged that cannot be copied", async () => {
  const middleware = start();
  const used = new Response("x");
  await used.text();
  for (const result of [Response.error(), used]) {
    const response = await visit(middleware, {}, async ({ security: { session } }) => {
      await session.set("user", "ada");
      return result;
    });
    assertStrictEquals(response, result);
  }
});

Deno.test("ResponseCookie never sends one client's cookie to another on a shared result", async (t) => {
  for (
    const [name, shared] of [
      ["an action result", Content({ a: 1 })],
      ["a native Response", new Response(null, { status: 204 })],
    ] as const
  ) {
    await t.step(name, async () => {
      const middleware = start();
      const write = async ({ security: { session } }: ReturnType<typeof contextOf>): Promise<unknown> => {
        await session.set("user", "ada");
        return shared;
      };
      const first = await visit(middleware, {}, write);
      const second = await visit(middleware, {}, write);
      const reader = await visit(middleware, {}, () => shared);
      assertNotEquals(cookieOf(first), cookieOf(second));
      assertEquals(reader.headers.getSetCookie(), []);
      assertEquals(shared.headers.get("set-cookie"), null);
      assertEquals(shared.headers.get("cache-control"), null);
    });
  }
  await t.step("a cached response that carries another client's cookie", async () => {
    const middleware = start();
    const theirs = await signUp(middleware);
    const cached = Content("page");
    cached.headers.append("set-cookie", `${theirs}; Path=/`);
    cached.headers.append("set-cookie", "theme=dark");
    for (const result of [cached, new Response("page", { headers: cached.headers })]) {
      const reader = await visit(middleware, {}, () => result);
      assertEquals(reader.headers.getSetCookie(), ["theme=dark"]);
      const writer = await visit(middleware, {}, async ({ security: { session } }) => {
        await session.set("user", "bob");
        return result;
      });
      const names = setCookies(writer.headers);
      assertEquals(names.map(({ name }) => name), ["theme", "sid"]);
      assertNotEquals(`sid=${names[1]?.value}`, theirs);
    }
  });
});

Deno.test("ResponseCookie leaves a shared result unchanged if only the application sets a cookie", async () => {
  const shared = Content("page");
  const context = contextOf();
  await start().onPreRequest(context);
  context.response.headers.append("set-cookie", "theme=dark");
  context.response.result = shared;
  assertEquals(merged(context).headers.getSetCookie(), ["theme=dark"]);
  assertEquals(shared.headers.getSetCookie(), []);
  assertStrictEquals(context.response.result, shared);
});

Deno.test("ResponseCookie is sent once if Alosaur merges twice", async () => {
  const context = contextOf();
  await start().onPreRequest(context);
  await context.security.session.set("user", "ada");
  for (const result of ["text", Content("x"), new Response("x")]) {
    context.response.result = result;
    merged(context);
    assertEquals(merged(context).headers.getSetCookie().length, 1);
  }
});

Deno.test("ResponseCookie doubles no header of the application if Alosaur merges twice, and leaves its result in place", async () => {
  const context = contextOf();
  await start().onPreRequest(context);
  await context.security.session.set("user", "ada");
  context.response.headers.append("set-cookie", "theme=dark");
  const result = Content("x");
  context.response.result = result;
  merged(context);
  assertStrictEquals(context.response.result, result);
  assertEquals(setCookies(merged(context).headers).map(({ name }) => name).sort(), ["sid", "theme"]);
  assertStrictEquals(context.response.result, result);
});

Deno.test("ResponseCookie is sent even if the application deletes the response's Set-Cookie headers", async () => {
  const middleware = start();
  const response = await visit(middleware, {}, async ({ security: { session }, response }) => {
    await session.set("user", "ada");
    response.headers.delete("set-cookie");
    return "ok";
  });
  assertEquals(await read(middleware, cookieOf(response)), "ada");
});

Deno.test("ResponseCookie that is disabled sets, clears and removes no cookie", () => {
  const context = contextOf();
  const cookie = new ResponseCookie(context, policyOf());
  cookie.send("a.b", Date.now());
  assertEquals(setCookies(context.response.headers).map(({ value }) => value), ["a.b"]);
  cookie.disable();
  assertEquals(context.response.headers.getSetCookie(), []);
  cookie.send("a.b", Date.now());
  cookie.clear();
  assertEquals(context.response.headers.getSetCookie(), []);
  context.response.headers.append("set-cookie", "sid=theirs");
  context.response.result = "ok";
  assertEquals(merged(context).headers.getSetCookie(), ["sid=theirs"]);
});

Deno.test("ResponseCookie that is cleared stays cleared", () => {
  const context = contextOf({ cookie: "sid=x" });
  const cookie = new ResponseCookie(context, policyOf());
  cookie.send("a.b", Date.now());
  cookie.clear();
  cookie.send("a.b", Date.now());
  cookie.cancel();
  const { value, attributes } = onlyCookie(context.response.headers);
  assertEquals([value, attributes["max-age"]], ["", "0"]);
});

Deno.test("ResponseCookie reports no cookie that it does not send, because the client's cookie was deleted before", () => {
  const policy = policyOf();
  const reported: unknown[] = [];
  const cookie = new ResponseCookie(contextOf(), {
    cookie: policy.cookie,
    cookieFor: () => policy.cookie,
    cookieIfKnown: () => policy.cookie,
    lost: policy.lost,
    isSecure: () => false,
    onCookieSet: (context) => reported.push(context),
  });
  cookie.send("a.b", Date.now());
  assertEquals(reported.length, 1);
  cookie.clear();
  cookie.send("c.d", Date.now());
  assertEquals(reported.length, 1);
});

Deno.test("ResponseCookie does not touch a result that only looks like an action result", async () => {
  const context = contextOf();
  await start().onPreRequest(context);
  const result = { __isActionResult: true, headers: { "set-cookie": "sid=theirs" }, body: "x" };
  context.response.result = result;
  assertStrictEquals<unknown>(context.response.getMergedResult(), result);
});

Deno.test("ResponseCookie leaves a cookie alone whose name only begins with the session cookie's", async () => {
  const response = await visit(start(), {}, async ({ security: { session }, response }) => {
    response.headers.append("set-cookie", "sidebar=open");
    await session.set("user", "ada");
    response.headers.append("set-cookie", "sidebar=; Max-Age=0");
    return "ok";
  });
  assertEquals(setCookies(response.headers).map(({ name, value }) => [name, value !== ""]), [
    ["sidebar", true],
    ["sidebar", false],
    ["sid", true],
  ]);
});

Deno.test("ResponseCookie removes foreign cookies of its name from the response of an untouched visit", async () => {
  const response = await visit(start(), {}, ({ response }) => {
    response.headers.append("set-cookie", "sid=a; Path=/");
    response.headers.append("set-cookie", "theme=dark");
    response.headers.append("set-cookie", "sid=b; Path=/x");
    return "ok";
  });
  assertEquals(response.headers.getSetCookie(), ["theme=dark"]);
});

Deno.test("ResponseCookie leaves at most one cookie of its name on a response", async () => {
  const middleware = start({ secret: ["the secret from this day onwards", "the secret of the last two years"] });
  const response = await visit(middleware, {}, async ({ security: { session }, response }) => {
    response.headers.append("set-cookie", "theme=dark");
    response.headers.append("set-cookie", "sid=app; Path=/app");
    await session.set("a", 1);
    await session.regenerate();
    await session.regenerate();
    await session.set("a", 2);
    response.headers.append("set-cookie", "sid=late; Path=/");
    response.headers.append("set-cookie", "lang=en");
    return "ok";
  });
  const cookies = setCookies(response.headers);
  assertEquals(cookies.map(({ name }) => name).sort(), ["lang", "sid", "theme"]);
  const own = cookies.find(({ name }) => name === "sid");
  assertEquals(await read(middleware, `sid=${own?.value}`, "a"), 2);
});

Deno.test("ResponseCookie clears the cookie with its own attributes if something else on the response clears it", async (t) => {
  for (
    const [name, act] of [
      ["before any write", () => Promise.resolve()],
      ["after a write", (context) => context.security.session.set("a", 1)],
    ] as [string, (context: ReturnType<typeof contextOf>) => Promise<void>][]
  ) {
    await t.step(name, async () => {
      const middleware = start({ path: "/app" });
      const response = await visit(middleware, { cookie: await signUp(middleware) }, async (context) => {
        await act(context);
        context.response.headers.append("set-cookie", "sid=; Expires=Thu, 01 Jan 1970 00:00:00 GMT");
        return "ok";
      });
      const { value, attributes } = onlyCookie(response.headers);
      assertEquals([value, attributes.path, attributes["max-age"]], ["", "/app", "0"]);
    });
  }
  await t.step("on the result itself", async () => {
    const clearing = { "set-cookie": "sid=; Path=/; Max-Age=0" };
    for (
      const make of [() => new Response("x", { headers: clearing }), () => Content("x", 200, new Headers(clearing))]
    ) {
      const middleware = start({ path: "/app" });
      const response = await visit(middleware, { cookie: await signUp(middleware) }, make);
      const { value, attributes } = onlyCookie(response.headers);
      assertEquals([value, attributes.path], ["", "/app"]);
    }
  });
  await t.step("not if the line clears another cookie", async () => {
    const middleware = start();
    for (const where of ["the response", "the result"]) {
      const response = await visit(middleware, {}, async ({ security: { session }, response }) => {
        await session.set("user", "ada");
        const theme = "theme=; Max-Age=0";
        if (where === "the result") return Content("ok", 200, new Headers({ "set-cookie": theme }));
        response.headers.append("set-cookie", theme);
        return "ok";
      });
      const own = setCookies(response.headers).find(({ name }) => name === "sid");
      assertEquals(await read(middleware, `sid=${own?.value}`), "ada", where);
    }
  });
  await t.step("not if a write comes after it", async () => {
    const middleware = start();
    const response = await visit(middleware, {}, async ({ security: { session }, response }) => {
      response.headers.append("set-cookie", "sid=; Max-Age=0");
      await session.set("a", 1);
      return "ok";
    });
    assertEquals(await read(middleware, cookieOf(response), "a"), 1);
  });
});

Deno.test("a response that sets the cookie is not stored by shared caches", async (t) => {
  const cases: [string | undefined, string][] = [
    [undefined, "no-store"],
    ["public, max-age=600", "no-store"],
    ["max-age=600", "no-store"],
    ["no-cache", "no-store"],
    ['private="set-cookie", max-age=600', "no-store"],
    ["x-private", "no-store"],
    ["private", "private"],
    ["max-age=60, Private", "max-age=60, Private"],
    ["no-store", "no-store"],
    ["no-cache, no-store", "no-cache, no-store"],
  ];
  for (const [own, sent] of cases) {
    for (
      const [where, respond] of [
        ["the response's headers", (context, headers) => {
          for (const [name, value] of headers) context.response.headers.set(name, value);
          return "ok";
        }],
        ["an action result's", (_context, headers) => Content("ok", 200, headers)],
        ["a native Response's", (_context, headers) => new Response("ok", { headers })],
      ] as [string, (context: ReturnType<typeof contextOf>, headers: Headers) => unknown][]
    ) {
      await t.step(`${own} in ${where}`, async () => {
        const headers = new Headers(own === undefined ? {} : { "cache-control": own });
        const middleware = start();
        const response = await visit(middleware, {}, async (context) => {
          // The merge decides, so headers that the application sets after its write count too.
          await context.security.session.set("a", 1);
          return respond(context, headers);
        });
        assertEquals(response.headers.get("cache-control"), sent);
      });
    }
  }
});

Deno.test("ResponseCookie is set before setImmediately(), which skips onPostRequest", async () => {
  const middleware = start();
  const context = contextOf();
  await middleware.onPreRequest(context);
  context.security.session.set("user", "ada");
  context.response.result = Content("now");
  context.response.setImmediately();
  const response = merged(context);
  assertEquals(response.headers.getSetCookie().length, 1);
  await middleware.onPostRequest(context);
  assert(await read(middleware, cookieOf(response)));
});
