/**
 * The shorter path that Alosaur takes without middleware, hook, provider and container, the
 * conditions for it, and the metadata that several applications of one process share.
 *
 * Note: the order of these tests matters. Each adds to the metadata of the process, and the last
 * leaves it unusable.
 */
import { ActionParam, App, Area, Container, Content, Controller, Ctx, Get, type HttpContext } from "alosaur/mod.ts";
import { assertEquals, assertThrows } from "../../helpers/assert.ts";
import { Captured } from "../../helpers/console.ts";
import { serve, servedWith } from "../../helpers/serve.ts";

let action: (context: HttpContext) => unknown = () => "text";

@Controller("/short")
class Short {
  @Get()
  @ActionParam(0, Ctx())
  short(context: HttpContext): unknown {
    return action(context);
  }
}

@Area({ controllers: [Short] })
class ShortArea {}

const settings = { areas: [ShortArea], logging: false };

/** On the shorter path a text has the content type of `Response`. On the full path it has none. */
async function isOnShortPath(app: App<unknown>): Promise<boolean> {
  await using server = await serve(app);
  action = () => "text";
  return (await server.request("/short")).headers.get("content-type") === "text/plain;charset=UTF-8";
}

Deno.test("Alosaur's shorter path", async (t) => {
  const app = new App(settings);
  let handle: (context: HttpContext, error: Error) => void = () => {};
  app.error((context, error) => handle(context, error));
  app.useStatic({ root: new URL(".", import.meta.url).pathname, baseRoute: "/static/" });
  await using server = await serve(app);

  const table: [string, (context: HttpContext) => unknown, number, string, string | null][] = [
    ["text", () => "text", 200, "text", "text/plain;charset=UTF-8"],
    ["an object", () => ({ a: 1 }), 200, `{"a":1}`, "application/json; charset=utf-8"],
    ["an action result", () => Content("content", 201), 201, "content", null],
    ["a body", ({ response }) => void (response.body = "body"), 200, "body", "text/plain;charset=UTF-8"],
    ["nothing", () => undefined, 404, "Not found", null],
  ];
  for (const [name, result, status, text, type] of table) {
    await t.step(`${name} is answered, with the response's headers`, async () => {
      action = (context) => {
        context.response.headers.append("set-cookie", "a=1");
        context.response.headers.append("set-cookie", "b=2");
        return result(context);
      };
      const answer = await server.request("/short");
      assertEquals([answer.status, answer.text, answer.headers.get("content-type")], [status, text, type]);
      assertEquals(answer.cookies, ["a=1", "b=2"]);
    });
  }

  await t.step("text replaces a body, and is sent with the status of the response", async () => {
    action = ({ response }) => {
      response.body = "body";
      response.status = 222;
      return "text";
    };
    const { status, text } = await server.request("/short");
    assertEquals([status, text], [222, "text"]);
  });

  await t.step("text is not merged", async () => {
    action = ({ response }) => {
      response.getMergedResult = () => new Response("merged");
      return "text";
    };
    assertEquals((await server.request("/short")).text, "text");
  });

  await t.step("a native Response is sent unchanged", async () => {
    action = ({ response }) => {
      response.headers.append("set-cookie", "a=1");
      return new Response("native", { status: 210 });
    };
    const answer = await server.request("/short");
    assertEquals([answer.status, answer.text, answer.cookies], [210, "native", []]);
  });

  await t.step("setImmediately() has no effect, so an action that returns nothing is answered with 404", async () => {
    action = ({ response }) => {
      response.result = "lost";
      response.setImmediately();
    };
    assertEquals((await server.request("/short")).status, 404);
  });

  await t.step("static files are served here too", async () => {
    const { text } = await server.request("/static/cache_test.ts");
    assertEquals(text, await Deno.readTextFile(new URL("cache_test.ts", import.meta.url)));
  });

  await t.step("errors are handled as on the full path, but response.error is not set", async () => {
    const seen: unknown[] = [];
    handle = ({ response }, error) => seen.push(error.message, response.error);
    action = () => {
      throw Object.assign(new Error("broken"), { httpCode: 418 });
    };
    const { status, text } = await server.request("/short");
    assertEquals([status, text], [418, `{"httpCode":418}`]);
    assertEquals(seen, ["broken", undefined]);

    handle = ({ response }) => {
      response.result = Content("handled", 203);
      response.setImmediately();
    };
    assertEquals((await server.request("/short")).status, 203);
  });
});

Deno.test("Alosaur takes the full path if there is a provider or a container", async () => {
  assertEquals(await isOnShortPath(new App(settings)), true);
  assertEquals(await isOnShortPath(new App({ ...settings, container: new Container() })), false);
  const providers = [{ token: "token", useValue: "value" }];
  assertEquals(await isOnShortPath(new App({ ...settings, providers })), false);
});

Deno.test("Alosaur takes the shorter path if the list of providers is empty, or only an area has providers", async () => {
  assertEquals(await isOnShortPath(new App({ ...settings, providers: [] })), true);

  @Controller()
  class Provided {}
  @Area({ controllers: [Provided], providers: [{ token: "token", useValue: "value" }] })
  class _ProvidingArea {}
  assertEquals(await isOnShortPath(new App(settings)), true);
});

Deno.test("listen() accepts :port, host:port and Deno.ListenOptions, and resolves to undefined", async () => {
  const app = new App(settings);
  assertEquals(await servedWith(() => app.listen(":8000")), { hostname: "0.0.0.0", port: 8000 });
  assertEquals(await servedWith(() => app.listen("localhost:8001")), { hostname: "localhost", port: 8001 });
  assertEquals(await servedWith(() => app.listen({ port: 8002 })), { port: 8002 });
  // Further options reach Deno.serve() too. It is called before listen() returns its promise.
  const { signal } = new AbortController();
  const options = { port: 8003, signal };
  assertEquals(await servedWith(() => (app.listen(options), Promise.resolve())), options);
  await servedWith(async () => assertEquals(await app.listen(":8000"), undefined));
});

Deno.test("close() warns and closes nothing", async () => {
  const app = new App(settings);
  await using server = await serve(app);
  using warn = new Captured("warn");
  app.close();
  assertEquals(warn.lines.length, 1);
  action = () => "still here";
  assertEquals((await server.request("/short")).text, "still here");
});

Deno.test("every application of the process serves every area, even if its settings do not name it", async () => {
  @Controller("/later")
  class Later {
    @Get()
    later(): string {
      return "later";
    }
  }
  @Area({ controllers: [Later] })
  class LaterArea {}

  for (const areas of [[ShortArea], [LaterArea], []]) {
    await using server = await serve(new App({ areas, logging: false }));
    action = () => "text";
    assertEquals([(await server.request("/short")).text, (await server.request("/later")).text], ["text", "later"]);
  }
});

Deno.test("a middleware that is added while the application listens on the shorter path never runs", async () => {
  const app = new App(settings);
  const called: string[] = [];
  await using server = await serve(app);
  app.use(/./, { onPreRequest: () => void called.push("pre"), onPostRequest: () => void called.push("post") });
  action = () => "text";
  assertEquals((await server.request("/short")).text, "text");
  assertEquals(called, []);

  await using other = await serve(new App(settings));
  await other.request("/short");
  assertEquals(called, ["pre", "post"], "the next application of the process has it");
});

Deno.test("new App() throws if a controller is in no area", () => {
  @Controller("/orphan")
  class _Orphan {}
  assertThrows(() => new App(settings), TypeError);
});
