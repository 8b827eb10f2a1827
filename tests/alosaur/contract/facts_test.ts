/**
 * What Alosaur v2 does with a request, on the stand-in or on the real one: whichever `alosaur/` is.
 *
 * One application serves all of it. Everything in it that Alosaur calls is a point with a name: it notes that it was
 * called, and then does what the test at hand put there.
 */
import {
  ActionParam,
  App,
  Area,
  BadRequestError,
  Content,
  Controller,
  Cookie,
  Ctx,
  Get,
  type HookTarget,
  type HttpContext,
  HttpError,
  NoContent,
  Redirect,
  UseHook,
  View,
} from "alosaur/mod.ts";
import { assert, assertEquals, assertStrictEquals } from "../../helpers/assert.ts";
import { type Answer, serve } from "../../helpers/serve.ts";

type Point = (context: HttpContext) => unknown;

/** What the test at hand does at each point. */
let script: Record<string, Point> = {};
/** The points that were called, in order. */
let called: string[] = [];

function reach(point: string, context: HttpContext): unknown {
  called.push(point);
  return script[point]?.(context);
}

class PointHook implements HookTarget<unknown, string> {
  onPreAction(context: HttpContext, name: string): unknown {
    return reach(`${name}.pre`, context);
  }
  onPostAction(context: HttpContext, name: string): unknown {
    return reach(`${name}.post`, context);
  }
  onCatchAction(context: HttpContext, name: string): unknown {
    return reach(`${name}.catch`, context);
  }
}

class PreHook implements HookTarget<unknown, string> {
  onPreAction(context: HttpContext, name: string): unknown {
    return reach(`${name}.pre`, context);
  }
}

@Controller("/plain")
class Plain {
  @Get()
  @ActionParam(0, Ctx())
  plain(context: HttpContext): unknown {
    return reach("action", context);
  }

  @Get("/pre-hook")
  @UseHook(PreHook, "only")
  @ActionParam(0, Ctx())
  preHook(context: HttpContext): unknown {
    return reach("action", context);
  }

  @Get("/bad-param")
  @ActionParam(0, Cookie("any"))
  badParam(): string {
    return "never";
  }
}

@UseHook(PointHook, "controller")
@Controller("/hooked")
class Hooked {
  @UseHook(PointHook, "second")
  @UseHook(PointHook, "first")
  @Get()
  @ActionParam(0, Ctx())
  hooked(context: HttpContext): unknown {
    return reach("action", context);
  }
}

@UseHook(PointHook, "area")
@Area({ controllers: [Hooked] })
class HookedArea {}

@Area({ controllers: [Plain] })
class PlainArea {}

const app = new App({ areas: [PlainArea, HookedArea], logging: false });
for (const name of ["a", "b"]) {
  app.use(/^\/(plain|hooked|nothing|static)/, {
    onPreRequest(context: HttpContext): unknown {
      if (name === "a") noteMerges(context);
      return reach(`${name}.pre`, context);
    },
    onPostRequest(context: HttpContext): unknown {
      return reach(`${name}.post`, context);
    },
  });
}
app.error((context, error) => {
  script["error"]?.(context);
  called.push(`error ${error?.name}: ${error?.message}`);
});
app.useStatic({ root: new URL(".", import.meta.url).pathname, baseRoute: "/static/" });
app.useViewRender({ type: "test", basePath: "", getBody: (path, model) => `${path} ${JSON.stringify(model)}` });

/** Notes each merge among the points, with what kind of thing came out. */
function noteMerges({ response }: HttpContext): void {
  const merge = response.getMergedResult.bind(response);
  response.getMergedResult = () => {
    called.push("merge");
    const merged = merge();
    kinds.push(merged instanceof Response ? "Response" : "object");
    return merged;
  };
}
let kinds: string[] = [];

const appendHeaders: Point = ({ response }) => {
  response.headers.append("set-cookie", "a=1");
  response.headers.append("set-cookie", "b=2");
  response.headers.append("x-own", "1");
};

/** The path that an answer without a hook or a middleware in its way takes. */
const wholeWay = ["a.pre", "b.pre", "action", "a.post", "b.post", "merge"];

function fail(message: string, httpCode?: number): Point {
  return () => {
    throw Object.assign(new Error(message), { httpCode, shown: message });
  };
}

const immediately: Point = ({ response }) => {
  response.result = Content("at once", 203);
  response.setImmediately();
};

Deno.test("Alosaur serves a request", async (t) => {
  await using server = await serve(app);

  async function play(path: string, next: Record<string, Point>, init?: RequestInit): Promise<Answer> {
    script = next;
    called = [];
    kinds = [];
    return await server.request(path, init);
  }

  await t.step("listen() prints where it has started, once it listens", () => {
    assert(server.started.startsWith(`[ "Server start in`) || server.started.startsWith("Server start in"));
    assert(server.started.includes("127.0.0.1"));
  });

  await t.step("the points of a request without hooks come in order", async () => {
    const answer = await play("/plain", { action: () => "text" });
    assertEquals(called, wholeWay);
    assertEquals([answer.status, answer.text], [200, "text"]);
  });

  await t.step("a middleware runs for the paths its RegExp finds, the query is no part of them", async () => {
    await play("/none?/plain", {});
    assertEquals(called, []);
    await play("/plain?/none", { action: () => "text" });
    assertEquals(called, wholeWay);
  });

  await t.step(
    "a truthy return of onPreRequest is sent at once, without a merge, and skips everything else",
    async () => {
      const answer = await play("/plain", {
        "a.pre": (context) => (appendHeaders(context), new Response("short cut")),
      });
      assertEquals(called, ["a.pre"]);
      assertEquals([answer.status, answer.text, answer.cookies], [200, "short cut", []]);
    },
  );

  await t.step("a truthy return of onPreRequest that is no Response is Deno's own 500", async () => {
    const answer = await play("/plain", { "a.pre": () => Content("no Response") });
    assertEquals(called, ["a.pre"]);
    assertEquals([answer.status, answer.text], [500, "Internal Server Error"]);
  });

  await t.step("a truthy return of onPostRequest or of a hook means nothing", async () => {
    const truthy = () => new Response("ignored");
    const answer = await play("/hooked", { action: () => "text", "a.post": truthy, "first.pre": truthy });
    assertEquals(answer.text, "text");
  });

  await t.step(
    "setImmediately() in onPreRequest: later middlewares still run, the action and onPostRequest do not",
    async () => {
      const answer = await play("/plain", { "a.pre": immediately });
      assertEquals(called, ["a.pre", "b.pre", "merge"]);
      assertEquals([answer.status, answer.text], [203, "at once"]);
    },
  );

  await t.step("setImmediately() in the action: what the action returns is sent, without onPostRequest", async () => {
    const answer = await play("/plain", { action: (context) => (immediately(context), Content("returned", 201)) });
    assertEquals(called, ["a.pre", "b.pre", "action", "merge"]);
    assertEquals([answer.status, answer.text], [201, "returned"]);
  });

  await t.step("setImmediately() in an action that returns nothing is an empty 200, not a 404", async () => {
    const answer = await play("/plain", { action: immediately });
    assertEquals([answer.status, answer.text], [200, ""]);
  });

  await t.step("setImmediately() in onPostRequest changes nothing about the way", async () => {
    const answer = await play("/plain", { action: () => "text", "a.post": immediately });
    assertEquals(called, wholeWay);
    assertEquals([answer.status, answer.text], [203, "at once"]);
  });

  await t.step("a static file is merged and sent, without the action and without onPostRequest", async () => {
    const answer = await play("/static/facts_test.ts", { "a.pre": appendHeaders });
    assertEquals(called, ["a.pre", "b.pre", "merge"]);
    assertEquals(answer.text, await Deno.readTextFile(new URL(import.meta.url)));
    assertEquals(answer.cookies, ["a=1", "b=2"]);
    assertEquals(answer.headers.get("cache-control"), "max-age=0");
  });

  await t.step("a static file is served for every method, over whatever a middleware has put there", async () => {
    const answer = await play("/static/cache_test.ts", { "a.pre": ({ response }) => void (response.body = "body") }, {
      method: "POST",
    });
    assertEquals(answer.text, await Deno.readTextFile(new URL("cache_test.ts", import.meta.url)));
  });

  await t.step("a path to no file, to a directory or out of the root leaves the request to the rest", async () => {
    for (const path of ["/static/none.ts", "/static/", "/static/..%2fcontract/cache_test.ts"]) {
      const answer = await play(path, {});
      assertEquals(called, ["a.pre", "b.pre", "a.post", "b.post", "merge"], path);
      assertEquals(answer.status, 404);
    }
  });

  await t.step("undefined is Not found, 404, with the response's headers; so is a path without an action", async () => {
    for (const path of ["/plain", "/nothing"]) {
      const answer = await play(path, { "a.post": appendHeaders });
      assertEquals([answer.status, answer.text, answer.cookies], [404, "Not found", ["a=1", "b=2"]]);
    }
  });

  await t.step(
    "undefined becomes the 404 result only after onPostRequest, and then stands in response.result",
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

  await t.step("a null result throws in the merge, and that is a 500", async () => {
    const answer = await play("/plain", { action: () => null });
    assertEquals(called.slice(0, -1), wholeWay);
    assert(called.at(-1)?.startsWith("error TypeError"));
    assertEquals([answer.status, answer.text], [500, "{}"]);
  });

  await t.step("text has no content type; objects, numbers and booleans are JSON", async () => {
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

  await t.step("the merge may return a Response of a middleware's own making", async () => {
    const answer = await play("/plain", {
      "a.post": ({ response }) => response.getMergedResult = () => new Response("mine", { status: 211 }),
      action: () => "text",
    });
    assertEquals([answer.status, answer.text], [211, "mine"]);
  });

  await t.step("a promise of a merged result is not awaited: an empty 200 is sent", async () => {
    const answer = await play("/plain", {
      "a.post": ({ response }) =>
        Object.assign(response, { getMergedResult: () => Promise.resolve(new Response("later", { status: 211 })) }),
      action: () => "text",
    });
    assertEquals([answer.status, answer.text], [200, ""]);
  });

  await t.step("one action result returned twice carries the first caller's cookies to the second", async () => {
    const shared = Content("shared");
    const first = await play("/plain", { "a.pre": appendHeaders, action: () => shared });
    assertEquals(first.cookies, ["a=1", "b=2"]);
    const second = await play("/plain", { action: () => shared });
    assertEquals(second.cookies, ["a=1", "b=2"]);
  });

  await t.step("hooks run area first, then controller, then action; on one member from the bottom up", async () => {
    await play("/hooked", { action: () => "text" });
    assertEquals(called, [
      ...["a.pre", "b.pre"],
      ...["area.pre", "controller.pre", "first.pre", "second.pre"],
      "action",
      ...["area.post", "controller.post", "first.post", "second.post"],
      ...["a.post", "b.post", "merge"],
    ]);
  });

  await t.step("onPostAction sees the result and may replace it", async () => {
    const answer = await play("/hooked", {
      action: () => "text",
      "first.post": ({ response }) => response.result = `${response.result}, hooked`,
    });
    assertEquals(answer.text, "text, hooked");
  });

  await t.step(
    "setImmediately() in onPreAction skips the rest and merges an action result twice: headers doubled",
    async () => {
      const answer = await play("/hooked", {
        "a.pre": appendHeaders,
        "first.pre": immediately,
      });
      assertEquals(called, [
        ...["a.pre", "b.pre", "area.pre", "controller.pre", "first.pre"],
        ...["controller.post", "area.post"],
        ...["merge", "error TypeError: respondWith is not a function", "merge"],
      ]);
      assertEquals([answer.status, answer.text], [203, "at once"]);
      assertEquals(answer.cookies, ["a=1", "b=2", "a=1", "b=2"]);
      assertEquals(answer.headers.get("x-own"), "1, 1");
      assertEquals(answer.errors, []);
    },
  );

  await t.step("merged twice, only an action result has its headers doubled", async () => {
    const table: Point[] = [
      ({ response }) => void (response.result = "text"),
      ({ response }) => void (response.result = { a: 1 }),
      ({ response }) => void (response.body = "body"),
      () => {},
    ];
    for (const set of table) {
      const answer = await play("/hooked", {
        "a.pre": appendHeaders,
        "first.pre": (context) => (set(context), context.response.setImmediately()),
      });
      assertEquals(called.filter((point) => point === "merge").length, 2);
      assertEquals(answer.cookies, ["a=1", "b=2"]);
    }
  });

  await t.step(
    "setImmediately() in onPostAction merges twice too, after running the hooks before it backwards",
    async () => {
      const answer = await play("/hooked", {
        "a.pre": appendHeaders,
        action: () => "text",
        "first.post": immediately,
      });
      assertEquals(called.slice(6), [
        ...["action", "area.post", "controller.post", "first.post"],
        ...["controller.post", "area.post"],
        ...["merge", "error TypeError: respondWith is not a function", "merge"],
      ]);
      assertEquals(answer.cookies, ["a=1", "b=2", "a=1", "b=2"]);
    },
  );

  await t.step(
    "setImmediately() in an action merges twice if a hook with onPostAction stands on it, else once",
    async () => {
      const action: Point = ({ response }) => (response.setImmediately(), Content("at once"));
      const twice = await play("/hooked", { "a.pre": appendHeaders, action });
      assertEquals(called.slice(6), [
        ...["action", "area.post"],
        ...["merge", "error TypeError: respondWith is not a function", "merge"],
      ]);
      assertEquals(twice.cookies, ["a=1", "b=2", "a=1", "b=2"]);

      const once = await play("/plain/pre-hook", { "a.pre": appendHeaders, action });
      assertEquals(called, ["a.pre", "b.pre", "only.pre", "action", "merge"]);
      assertEquals(once.cookies, ["a=1", "b=2"]);
    },
  );

  await t.step("after a hook's setImmediately() the error handler may put another result in place", async () => {
    const answer = await play("/hooked", {
      "first.pre": immediately,
      error: ({ response }) => response.result = "handled",
    });
    assertEquals([answer.status, answer.text], [200, "handled"]);
  });

  await t.step(
    "an action that throws: response.error is set, every onPostRequest runs, then the error handler",
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

  await t.step("a rejected promise of an action is the same as an exception", async () => {
    const answer = await play("/plain", {
      action: () => Promise.reject(Object.assign(new Error(), { httpCode: 409 })),
    });
    assertEquals(called.slice(2), ["action", "a.post", "b.post", "error Error: "]);
    assertEquals(answer.status, 409);
  });

  await t.step(
    "an error is answered with its enumerable fields as JSON, and without the response's headers",
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

  await t.step("an error without httpCode is a 500, and so is one whose httpCode is 0", async () => {
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

  await t.step("an exception that is no error is answered as a result would be, or not at all", async () => {
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
  });

  await t.step("an httpCode that is no status is Deno's own 500", async () => {
    const answer = await play("/plain", { action: fail("impossible", 999) });
    assertEquals([answer.status, answer.text], [500, "Internal Server Error"]);
  });

  await t.step("onCatchAction sees the error, but only setImmediately() keeps it from the client", async () => {
    const seen: unknown[] = [];
    const look: Point = ({ response }) => {
      seen.push(response.error?.message);
      response.result = "caught";
    };
    const still = await play("/hooked", { action: fail("broken", 418), "first.catch": look });
    assertEquals(seen, ["broken"]);
    assertEquals(called.slice(6), [
      ...["action", "area.catch", "controller.catch", "first.catch", "second.catch"],
      ...["a.post", "b.post", "error Error: broken"],
    ]);
    assertEquals(still.status, 418);

    const caught = await play("/hooked", {
      action: fail("broken", 418),
      "first.catch": immediately,
      "a.pre": appendHeaders,
    });
    assertEquals(called.slice(6), [
      ...["action", "area.catch", "controller.catch", "first.catch"],
      ...["controller.catch", "area.catch"],
      ...["merge", "error TypeError: respondWith is not a function", "merge"],
    ]);
    assertEquals([caught.status, caught.text], [203, "at once"]);
    assertEquals(caught.cookies, ["a=1", "b=2", "a=1", "b=2"]);
  });

  await t.step("a hook that throws skips onPostRequest and onCatchAction; response.error is not set", async () => {
    for (const point of ["first.pre", "first.post", "first.catch"]) {
      const errors: unknown[] = [];
      const answer = await play("/hooked", {
        action: point === "first.catch" ? fail("action") : () => "text",
        [point]: fail("hook", 418),
        error: ({ response }) => errors.push(response.error?.message),
      });
      assertEquals(called.slice(-2), [point, "error Error: hook"]);
      assertEquals(called.includes("a.post"), false);
      assertEquals(errors, [point === "first.catch" ? "action" : undefined]);
      assertEquals(answer.status, 418);
    }
  });

  await t.step("a parameter that throws skips onPostRequest too: Cookie() does, on a header like =;;;=", async () => {
    const answer = await play("/plain/bad-param", {}, { headers: { cookie: "=;;;=" } });
    assertEquals(called, ["a.pre", "b.pre", "error SyntaxError: Cookie cannot start with '='"]);
    assertEquals([answer.status, answer.text], [500, "{}"]);
  });

  await t.step(
    "onPreRequest that throws: its httpCode is the status, no later middleware and no onPostRequest runs",
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
    "onPostRequest that throws after an action: its error is the answer, no later onPostRequest runs",
    async () => {
      const answer = await play("/plain", { action: () => "text", "a.post": fail("middleware", 418) });
      assertEquals(called, ["a.pre", "b.pre", "action", "a.post", "error Error: middleware"]);
      assertEquals(answer.status, 418);
      assertEquals((await play("/plain", { action: () => "text", "a.post": fail("middleware") })).status, 500);
    },
  );

  await t.step("onPostRequest that throws after an action that threw: its error replaces the action's", async () => {
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
    "an action that sets its response immediate and throws: onPostRequest runs, the error is dropped",
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

  await t.step("onPostRequest may answer an action's error with setImmediately(), past the error handler", async () => {
    const answer = await play("/plain", { action: fail("broken"), "a.post": immediately });
    assertEquals(called, ["a.pre", "b.pre", "action", "a.post", "b.post", "merge"]);
    assertEquals([answer.status, answer.text], [203, "at once"]);
  });

  await t.step("a response that is immediate already is sent although a middleware throws afterwards", async () => {
    const answer = await play("/plain", { "a.pre": immediately, "b.pre": fail("late", 418) });
    assertEquals(called, ["a.pre", "b.pre", "error Error: late", "merge"]);
    assertEquals([answer.status, answer.text, answer.errors], [203, "at once", []]);
  });

  await t.step("a merge that throws is an error like another: its httpCode is the status", async () => {
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

  await t.step("app.error() may answer with setImmediately(): merged, with the response's headers", async () => {
    const answer = await play("/plain", { "a.pre": appendHeaders, action: fail("broken"), error: immediately });
    assertEquals(called.at(-1), "merge");
    assertEquals([answer.status, answer.text, answer.cookies], [203, "at once", ["a=1", "b=2"]]);
    assertEquals(answer.errors, []);
  });

  await t.step(
    "app.error() is not awaited, and what it returns or sets without setImmediately() is not sent",
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

  await t.step("app.error() that throws is Deno's own 500", async () => {
    const answer = await play("/plain", { action: fail("broken", 418), error: fail("handler", 409) });
    assertEquals([answer.status, answer.text], [500, "Internal Server Error"]);
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

  await t.step("every request has a context of its own, the same one for all its points", async () => {
    const contexts: HttpContext[] = [];
    const keep: Point = (context) => void contexts.push(context);
    await play("/plain", { "a.pre": keep, action: keep, "b.post": keep });
    await play("/plain", { "a.pre": keep });
    const [first, ...others] = contexts;
    assertEquals(others.map((context) => context === first), [true, true, false]);
    assertStrictEquals(first?.request.serverRequest instanceof Request, true);
  });
});
