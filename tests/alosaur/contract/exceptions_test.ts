/**
 * The answer of Alosaur to an exception of an action, a hook, a middleware or a handler. See
 * `_points.ts`.
 */
import { BadRequestError, Content, HttpError } from "alosaur/mod.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { appendHeaders, called, fail, immediately, servePoints } from "./_points.ts";

Deno.test("Alosaur answers an exception", async (t) => {
  await using server = await servePoints();
  const { play } = server;

  await t.step(
    "an action that throws sets response.error, then every onPostRequest and the error handler run",
    async () => {
      const errors: unknown[] = [];
      const answer = await play("/plain", {
        action: fail("broken", 418),
        "b.post": ({ response }) => errors.push(response.error?.message, response.result),
      });
      assertEquals(called, ["a.pre", "b.pre", "action", "a.post", "b.post", "error Error: broken"]);
      assertEquals(errors, ["broken", undefined]);
      assertEquals(answer.status, 418);
    },
  );

  await t.step("a rejected promise of an action is handled like an exception", async () => {
    const answer = await play("/plain", {
      action: () => Promise.reject(Object.assign(new Error(), { httpCode: 409 })),
    });
    assertEquals(called.slice(2), ["action", "a.post", "b.post", "error Error: "]);
    assertEquals(answer.status, 409);
  });

  await t.step(
    "an error is answered with its enumerable fields as JSON, without the response's headers",
    async () => {
      const answer = await play("/plain", {
        "a.pre": appendHeaders,
        "a.post": appendHeaders,
        action: () => {
          throw Object.assign(new Error("unseen", { cause: "unseen" }), { seen: 1, httpCode: 418 });
        },
      });
      assertEquals(answer.status, 418);
      assertEquals(JSON.parse(answer.text), { seen: 1, httpCode: 418 });
      assertEquals(answer.headers.get("content-type"), "application/json; charset=utf-8");
      assertEquals([answer.cookies, answer.headers.get("x-own")], [[], null]);
    },
  );

  await t.step("an error without httpCode, or with httpCode 0, is answered with 500", async () => {
    assertEquals((await play("/plain", { action: fail("none") })).status, 500);
    assertEquals((await play("/plain", { action: fail("zero", 0) })).status, 500);
  });

  await t.step("an HttpError shows its message and is not printed; any other error is printed", async () => {
    const http = await play("/plain", {
      action: () => {
        throw new BadRequestError("shown");
      },
    });
    assertEquals(JSON.parse(http.text), { httpCode: 400, name: "BadRequestError", message: "shown" });
    assertEquals(http.errors, []);

    const other = await play("/plain", { action: fail("printed", 400) });
    assertEquals(other.errors.map((error) => error instanceof Error && error.message), ["printed"]);
  });

  await t.step(
    "a thrown value that is no error is answered like a result; a thrown undefined becomes Deno's own 500",
    async () => {
      const text = await play("/plain", {
        action: () => {
          throw "text";
        },
      });
      assertEquals([text.status, text.text], [500, "text"]);
      const nothing = await play("/plain", {
        action: () => {
          throw undefined;
        },
      });
      assertEquals([nothing.status, nothing.text], [500, "Internal Server Error"]);
    },
  );

  await t.step("an httpCode that is no valid status becomes Deno's own 500", async () => {
    const answer = await play("/plain", { action: fail("impossible", 999) });
    assertEquals([answer.status, answer.text], [500, "Internal Server Error"]);
  });

  await t.step("a parameter that throws skips onPostRequest: Cookie() throws on a header such as =;;;=", async () => {
    const answer = await play("/plain/bad-param", {}, { headers: { cookie: "=;;;=" } });
    assertEquals(called, ["a.pre", "b.pre", "error SyntaxError: Cookie cannot start with '='"]);
    assertEquals([answer.status, answer.text], [500, "{}"]);
  });

  await t.step(
    "if onPreRequest throws, its httpCode is the status, and no later middleware and no onPostRequest runs",
    async () => {
      for (const [point, points] of Object.entries({ "a.pre": ["a.pre"], "b.pre": ["a.pre", "b.pre"] })) {
        const errors: unknown[] = [];
        const answer = await play("/plain", {
          [point]: fail("middleware", 418),
          error: ({ response }) => errors.push(response.error),
        });
        assertEquals(called, [...points, "error Error: middleware"]);
        assertEquals(errors, [undefined]);
        assertEquals([answer.status, JSON.parse(answer.text)], [418, { httpCode: 418, shown: "middleware" }]);
      }
    },
  );

  await t.step(
    "if onPostRequest throws after an action, its error is the answer, and no later onPostRequest runs",
    async () => {
      const answer = await play("/plain", { action: () => "text", "a.post": fail("middleware", 418) });
      assertEquals(called, ["a.pre", "b.pre", "action", "a.post", "error Error: middleware"]);
      assertEquals(answer.status, 418);
      assertEquals((await play("/plain", { action: () => "text", "a.post": fail("middleware") })).status, 500);
    },
  );

  await t.step("if onPostRequest throws after an action that threw, its error replaces the action's", async () => {
    const errors: unknown[] = [];
    const answer = await play("/plain", {
      action: fail("action", 409),
      "a.post": fail("middleware", 418),
      error: ({ response }) => errors.push(response.error?.message),
    });
    assertEquals(called, ["a.pre", "b.pre", "action", "a.post", "error Error: middleware"]);
    assertEquals(errors, ["action"]);
    assertEquals([answer.status, JSON.parse(answer.text)], [418, { httpCode: 418, shown: "middleware" }]);
  });

  await t.step(
    "if an action calls setImmediately() and then throws, onPostRequest runs and the error is dropped",
    async () => {
      const answer = await play("/plain", {
        action: (context) => {
          immediately(context);
          throw new Error("dropped");
        },
      });
      assertEquals(called, ["a.pre", "b.pre", "action", "a.post", "b.post", "merge"]);
      assertEquals([answer.status, answer.text, answer.errors], [203, "at once", []]);
    },
  );

  await t.step(
    "onPostRequest may answer an action's error with setImmediately(), without the error handler",
    async () => {
      const answer = await play("/plain", { action: fail("broken"), "a.post": immediately });
      assertEquals(called, ["a.pre", "b.pre", "action", "a.post", "b.post", "merge"]);
      assertEquals([answer.status, answer.text], [203, "at once"]);
    },
  );

  await t.step("a response that is immediate already is sent although a later middleware throws", async () => {
    const answer = await play("/plain", { "a.pre": immediately, "b.pre": fail("late", 418) });
    assertEquals(called, ["a.pre", "b.pre", "error Error: late", "merge"]);
    assertEquals([answer.status, answer.text, answer.errors], [203, "at once", []]);
  });

  await t.step("an error thrown by the merge is handled like any other: its httpCode is the status", async () => {
    const answer = await play("/plain", {
      action: () => "text",
      "b.post": ({ response }) =>
        response.getMergedResult = () => {
          throw new HttpError(418, "merge");
        },
    });
    assertEquals(called.at(-1), "error Error: merge");
    assertEquals(answer.status, 418);
  });

  await t.step("app.error() may answer with setImmediately(), and the response's headers are merged", async () => {
    const answer = await play("/plain", { "a.pre": appendHeaders, action: fail("broken"), error: immediately });
    assertEquals(called.at(-1), "merge");
    assertEquals([answer.status, answer.text, answer.cookies], [203, "at once", ["a=1", "b=2"]]);
    assertEquals(answer.errors, []);
  });

  await t.step(
    "app.error() is not awaited, and a result that it sets without setImmediately() is not sent",
    async () => {
      const later = await play("/plain", {
        action: fail("broken", 418),
        error: (context) => Promise.resolve().then(() => immediately(context)),
      });
      assertEquals(later.status, 418);
      const set = await play("/plain", {
        action: fail("broken", 418),
        error: ({ response }) => response.result = Content("set", 299),
      });
      assertEquals(set.status, 418);
    },
  );

  await t.step("an app.error() that throws becomes Deno's own 500", async () => {
    const answer = await play("/plain", { action: fail("broken", 418), error: fail("handler", 409) });
    assertEquals([answer.status, answer.text], [500, "Internal Server Error"]);
  });
});
