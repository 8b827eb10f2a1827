/** The order in which Alosaur calls middlewares and actions. See `_points.ts`. */
import { Content, type HttpContext } from "alosaur/mod.ts";
import { assert, assertEquals, assertStrictEquals } from "../../helpers/assert.ts";
import { appendHeaders, called, immediately, type Point, servePoints, wholeWay } from "./_points.ts";

Deno.test("Alosaur calls middlewares and actions in order", async (t) => {
  await using server = await servePoints();
  const { play } = server;

  await t.step("listen() prints its address once it listens", () => {
    assert(server.started.startsWith(`[ "Server start in`) || server.started.startsWith("Server start in"));
    assert(server.started.includes("127.0.0.1"));
  });

  await t.step("the points of a request without hooks are called in order", async () => {
    const answer = await play("/plain", { action: () => "text" });
    assertEquals(called, wholeWay);
    assertEquals([answer.status, answer.text], [200, "text"]);
  });

  await t.step("a middleware's RegExp is matched against the path without the query", async () => {
    await play("/none?/plain", {});
    assertEquals(called, []);
    await play("/plain?/none", { action: () => "text" });
    assertEquals(called, wholeWay);
  });

  await t.step(
    "a truthy return value of onPreRequest is sent immediately, without a merge, and everything else is skipped",
    async () => {
      const answer = await play("/plain", {
        "a.pre": (context) => (appendHeaders(context), new Response("short cut")),
      });
      assertEquals(called, ["a.pre"]);
      assertEquals([answer.status, answer.text, answer.cookies], [200, "short cut", []]);
    },
  );

  await t.step("a truthy return value of onPreRequest that is no Response becomes Deno's own 500", async () => {
    const answer = await play("/plain", { "a.pre": () => Content("no Response") });
    assertEquals(called, ["a.pre"]);
    assertEquals([answer.status, answer.text], [500, "Internal Server Error"]);
  });

  await t.step("a truthy return value of onPostRequest or of a hook is ignored", async () => {
    const truthy = () => new Response("ignored");
    const answer = await play("/hooked", { action: () => "text", "a.post": truthy, "first.pre": truthy });
    assertEquals(answer.text, "text");
  });

  await t.step(
    "setImmediately() in onPreRequest skips the action and onPostRequest, but not the later middlewares",
    async () => {
      const answer = await play("/plain", { "a.pre": immediately });
      assertEquals(called, ["a.pre", "b.pre", "merge"]);
      assertEquals([answer.status, answer.text], [203, "at once"]);
    },
  );

  await t.step("setImmediately() in the action sends the action's return value without onPostRequest", async () => {
    const answer = await play("/plain", { action: (context) => (immediately(context), Content("returned", 201)) });
    assertEquals(called, ["a.pre", "b.pre", "action", "merge"]);
    assertEquals([answer.status, answer.text], [201, "returned"]);
  });

  await t.step("setImmediately() in an action that returns nothing sends an empty 200, not a 404", async () => {
    const answer = await play("/plain", { action: immediately });
    assertEquals([answer.status, answer.text], [200, ""]);
  });

  await t.step("setImmediately() in onPostRequest does not change the order", async () => {
    const answer = await play("/plain", { action: () => "text", "a.post": immediately });
    assertEquals(called, wholeWay);
    assertEquals([answer.status, answer.text], [203, "at once"]);
  });

  await t.step("a static file is merged and sent without the action and without onPostRequest", async () => {
    const answer = await play("/static/order_test.ts", { "a.pre": appendHeaders });
    assertEquals(called, ["a.pre", "b.pre", "merge"]);
    assertEquals(answer.text, await Deno.readTextFile(new URL(import.meta.url)));
    assertEquals(answer.cookies, ["a=1", "b=2"]);
    assertEquals(answer.headers.get("cache-control"), "max-age=0");
  });

  await t.step("a static file is served for every method, and replaces a body that a middleware has set", async () => {
    const answer = await play("/static/cache_test.ts", { "a.pre": ({ response }) => void (response.body = "body") }, {
      method: "POST",
    });
    assertEquals(answer.text, await Deno.readTextFile(new URL("cache_test.ts", import.meta.url)));
  });

  await t.step(
    "a static path to no file, to a directory or out of the root is handled like any other path",
    async () => {
      for (const path of ["/static/none.ts", "/static/", "/static/..%2fcontract/cache_test.ts"]) {
        const answer = await play(path, {});
        assertEquals(called, ["a.pre", "b.pre", "a.post", "b.post", "merge"], path);
        assertEquals(answer.status, 404);
      }
    },
  );

  await t.step("every request has a context of its own, which all its points share", async () => {
    const contexts: HttpContext[] = [];
    const keep: Point = (context) => void contexts.push(context);
    await play("/plain", { "a.pre": keep, action: keep, "b.post": keep });
    await play("/plain", { "a.pre": keep });
    const [first, ...others] = contexts;
    assertEquals(others.map((context) => context === first), [true, true, false]);
    assertStrictEquals(first?.request.serverRequest instanceof Request, true);
  });
});
