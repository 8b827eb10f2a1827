/** The answer of Alosaur to each kind of result. See `_points.ts`. */
import { Content, NoContent, Redirect, View } from "alosaur/mod.ts";
import { assert, assertEquals } from "../../helpers/assert.ts";
import { appendHeaders, called, kinds, type Point, servePoints, wholeWay } from "./_points.ts";

Deno.test("Alosaur answers with the result", async (t) => {
  await using server = await servePoints();
  const { play } = server;

  await t.step(
    "undefined is answered with 404 and the response's headers, and so is a path without an action",
    async () => {
      for (const path of ["/plain", "/nothing"]) {
        const answer = await play(path, { "a.post": appendHeaders });
        assertEquals([answer.status, answer.text, answer.cookies], [404, "Not found", ["a=1", "b=2"]]);
      }
    },
  );

  await t.step(
    "undefined becomes the 404 result in response.result, and only after onPostRequest",
    async () => {
      const seen: unknown[] = [];
      const look: Point = ({ response }) => {
        seen.push(response.result);
        const merge = response.getMergedResult;
        response.getMergedResult = () => {
          seen.push(response.result?.status);
          return merge();
        };
      };
      await play("/plain", { "b.post": look });
      assertEquals(seen, [undefined, 404]);
    },
  );

  await t.step(
    "a result set by a middleware is sent if there is no action, and lost if the action returns nothing",
    async () => {
      const set: Point = ({ response }) => response.result = "from the middleware";
      assertEquals((await play("/nothing", { "a.pre": (context) => void set(context) })).text, "from the middleware");
      assertEquals((await play("/plain", { "a.pre": (context) => void set(context) })).text, "Not found");
      assertEquals((await play("/plain", { "a.post": set })).text, "from the middleware");
    },
  );

  await t.step("a null result throws in the merge, which is answered with 500", async () => {
    const answer = await play("/plain", { action: () => null });
    assertEquals(called.slice(0, -1), wholeWay);
    assert(called.at(-1)?.startsWith("error TypeError"));
    assertEquals([answer.status, answer.text], [500, "{}"]);
  });

  await t.step("text has no content type; objects, numbers and booleans are sent as JSON", async () => {
    const table: [unknown, string, string | null][] = [
      ["text", "text", null],
      ["", "", null],
      [{ a: 1 }, `{"a":1}`, "application/json; charset=utf-8"],
      [0, "0", "application/json; charset=utf-8"],
      [false, "false", "application/json; charset=utf-8"],
    ];
    for (const [result, text, type] of table) {
      const answer = await play("/plain", { action: () => result });
      assertEquals([answer.status, answer.text, answer.headers.get("content-type")], [200, text, type]);
      assertEquals(kinds, ["object"]);
    }
  });

  await t.step("every kind of result but a native Response carries the response's headers", async () => {
    const table: [Point, number][] = [
      [() => "text", 200],
      [() => ({ a: 1 }), 200],
      [() => Content("content", 201), 201],
      [() => NoContent(), 204],
      [() => Redirect("/elsewhere"), 302],
      [() => View("page", { a: 1 }), 200],
      [({ response }) => void (response.body = "body", response.status = 222), 222],
    ];
    for (const [action, status] of table) {
      const answer = await play("/plain", { "a.pre": (context) => void appendHeaders(context), action });
      assertEquals([answer.status, answer.cookies], [status, ["a=1", "b=2"]]);
      assertEquals(kinds, ["object"]);
    }
  });

  await t.step("a native Response is sent as it is, without any of the response's headers", async () => {
    const answer = await play("/plain", {
      "a.pre": appendHeaders,
      action: () => new Response("native", { status: 210, headers: { "set-cookie": "mine=1" } }),
    });
    assertEquals([answer.status, answer.text, answer.cookies], [210, "native", ["mine=1"]]);
    assertEquals(answer.headers.get("x-own"), null);
    assertEquals(kinds, ["Response"]);
  });

  await t.step("getMergedResult() may return a Response that a middleware created", async () => {
    const answer = await play("/plain", {
      "a.post": ({ response }) => response.getMergedResult = () => new Response("mine", { status: 211 }),
      action: () => "text",
    });
    assertEquals([answer.status, answer.text], [211, "mine"]);
  });

  await t.step("a promise from getMergedResult() is not awaited; an empty 200 is sent", async () => {
    const answer = await play("/plain", {
      "a.post": ({ response }) =>
        Object.assign(response, { getMergedResult: () => Promise.resolve(new Response("later", { status: 211 })) }),
      action: () => "text",
    });
    assertEquals([answer.status, answer.text], [200, ""]);
  });

  await t.step("one action result returned twice sends the first client's cookies to the second", async () => {
    const shared = Content("shared");
    const first = await play("/plain", { "a.pre": appendHeaders, action: () => shared });
    assertEquals(first.cookies, ["a=1", "b=2"]);
    const second = await play("/plain", { action: () => shared });
    assertEquals(second.cookies, ["a=1", "b=2"]);
  });

  await t.step("setNotRespond() and a status without a body change nothing", async () => {
    const answer = await play("/plain", {
      action: ({ response }) => {
        response.setNotRespond();
        response.status = 299;
        return "text";
      },
    });
    assertEquals([answer.status, answer.text], [200, "text"]);
  });
});
