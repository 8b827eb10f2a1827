/** Alosaur's decorators for routes, parameters and middlewares. */
import {
  ActionParam,
  AlosaurRequest,
  AlosaurResponse,
  App,
  Area,
  Body,
  Controller,
  Cookie,
  Ctx,
  Delete,
  Get,
  HttpContext,
  Middleware,
  Param,
  Patch,
  Post,
  Put,
  QueryParam,
  QueryParams,
  Req,
  Res,
} from "alosaur/mod.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { serve } from "../../helpers/serve.ts";

let called: string[] = [];

class Noted {
  constructor(private readonly name: string) {}

  onPreRequest(_context: HttpContext): void {
    called.push(`${this.name}.pre`);
  }

  onPostRequest(_context: HttpContext): void {
    called.push(`${this.name}.post`);
  }
}

@Middleware(/^\/middleware/)
class Second extends Noted {
  constructor() {
    super("second");
  }
}

@Middleware(/^\/middleware/)
class First extends Noted {
  constructor() {
    super("first");
  }
}

@Middleware(/^\/middleware/)
class _Unlisted extends Noted {
  constructor() {
    super("unlisted");
  }
}

const kind = (value: unknown): string => value === undefined ? "undefined" : JSON.stringify(value);

class Base {
  @Get("/inherited")
  inherited(): string {
    return "inherited";
  }
}

@Controller("/routes")
class Routes extends Base {
  private readonly own = "this";

  @Get("/order/:first")
  segment(): string {
    return "segment";
  }

  @Get(/\/order\/r\d$/)
  regexp(): string {
    return "regexp";
  }

  @Get("/order/exact")
  exact(): string {
    return "exact";
  }

  @Get("/twice")
  twice(): string {
    return "first";
  }

  @Get("/twice")
  twiceMore(): string {
    return "second";
  }

  @Get("/this")
  readsThis(): string {
    return this.own;
  }

  @Post("/method")
  post(): string {
    return "post";
  }

  @Put("/method")
  put(): string {
    return "put";
  }

  @Patch("/method")
  patch(): string {
    return "patch";
  }

  @Delete("/method")
  delete(): string {
    return "delete";
  }

  @Get("/two")
  @Post("/two")
  two(): string {
    return "two";
  }
}

@Controller("/anchored")
class Anchored {
  @Get(/^\/anchored\/\d+$/)
  anchored(): string {
    return "anchored";
  }
}

@Controller("/params")
class Params {
  @Get("/of/:id/:other")
  @ActionParam(0, Param("id"))
  @ActionParam(1, Param("other"))
  @ActionParam(2, Param("absent"))
  route(...values: unknown[]): string {
    return values.map(kind).join();
  }

  @Get("/query")
  @ActionParam(0, QueryParam("a"))
  @ActionParam(1, QueryParam("b"))
  query(...values: unknown[]): string {
    return values.map(kind).join();
  }

  @Get("/whole-query")
  @ActionParam(0, QueryParams())
  @ActionParam(1, Cookie("c"))
  wholeQuery(...values: unknown[]): string {
    return values.map(kind).join();
  }

  @Get("/gap")
  @ActionParam(5, QueryParam("b"))
  @ActionParam(2, QueryParam("a"))
  gap(...values: unknown[]): string {
    return values.map(kind).join();
  }

  @Get("/unbound")
  unbound(...values: unknown[]): string {
    return String(values.length);
  }

  @Get("/context")
  @ActionParam(0, Ctx())
  @ActionParam(1, Req())
  @ActionParam(2, Res())
  context(context: HttpContext, request: AlosaurRequest, response: AlosaurResponse): boolean[] {
    return [
      context instanceof HttpContext,
      request instanceof AlosaurRequest && request === context.request,
      response instanceof AlosaurResponse && response === context.response,
    ];
  }

  @Post("/body")
  @ActionParam(0, Body())
  body(body: unknown): unknown {
    return { body };
  }

  @Post("/transformed")
  @ActionParam(0, Body((body: unknown) => [body]))
  transformed(body: unknown): unknown {
    return body;
  }
}

@Controller()
class Bare {
  @Get("/bare")
  bare(): string {
    return "bare";
  }

  @Get()
  root(): string {
    return "root";
  }
}

@Controller("joined-as-it-is")
class NoSlash {
  @Get("/x")
  x(): string {
    return "never";
  }
}

@Controller({ baseRoute: "/options" })
class Options {
  @Get("/x")
  x(): string {
    return "options";
  }
}

@Area({ controllers: [Routes, Anchored, Params, Bare, NoSlash, Options] })
class Main {}

@Controller("/controller")
class InArea {
  @Get("/action")
  action(): string {
    return "in area";
  }

  @Get()
  none(): string {
    return "none";
  }
}

@Area({ baseRoute: "/area", controllers: [InArea] })
class WithRoute {}

@Area()
class Nothing {}

Deno.test("Alosaur's decorators", async (t) => {
  const app = new App({ areas: [Main, WithRoute, Nothing], logging: false, middlewares: [First, Second] });
  app.use(/^\/middleware/, new Noted("used"));
  await using server = await serve(app);

  async function get(path: string, headers: Record<string, string> = {}): Promise<string> {
    const { status, text } = await server.request(path, { headers });
    return status === 200 ? text : String(status);
  }

  await t.step("an exact path is found before a RegExp, a RegExp before a :param", async () => {
    assertEquals(await get("/routes/order/exact"), "exact");
    assertEquals(await get("/routes/order/r1"), "regexp");
    assertEquals(await get("/routes/order/other"), "segment");
  });

  await t.step(
    "a RegExp is matched against the path after the controller's, and also answers at the controller's path",
    async () => {
      assertEquals(await get("/routes/and/order/r1"), "regexp");
      assertEquals(await get("/routes"), "regexp");
      assertEquals(await get("/order/r1"), "404");
      assertEquals(await get("/anchored/1"), "404");
    },
  );

  await t.step("of two actions for one path the first is served", async () => {
    assertEquals(await get("/routes/twice"), "first");
  });

  await t.step("paths are compared exactly, with their case and a slash at the end", async () => {
    assertEquals(await get("/routes/twice/"), "404");
    assertEquals(await get("/Routes/twice"), "404");
  });

  await t.step("an action is called on its controller, inherited ones too", async () => {
    assertEquals(await get("/routes/this"), "this");
    assertEquals(await get("/routes/inherited"), "inherited");
  });

  await t.step("the routes of the area, the controller and the action are joined without a separator", async () => {
    assertEquals(await get("/area/controller/action"), "in area");
    assertEquals(await get("/area/controller"), "none");
    assertEquals(await get("/controller/action"), "404");
    assertEquals(await get("/options/x"), "options");
    assertEquals(await get("/joined-as-it-is/x"), "404");
  });

  await t.step("Controller() and Area({...}) may come without a route", async () => {
    assertEquals(await get("/bare"), "bare");
    assertEquals(await get("/"), "root");
  });

  await t.step("Post, Put, Patch and Delete answer their methods; Get answers no HEAD", async () => {
    for (const method of ["POST", "PUT", "PATCH", "DELETE"]) {
      assertEquals((await server.request("/routes/method", { method })).text, method.toLowerCase());
    }
    assertEquals(await get("/routes/method"), "404");
    assertEquals((await server.request("/routes/two", { method: "HEAD" })).status, 404);
    assertEquals((await server.request("/routes/two", { method: "POST" })).text, "two");
    assertEquals(await get("/routes/two"), "two");
  });

  await t.step("Param() returns a segment of the path, not decoded", async () => {
    assertEquals(await get("/params/of/1%202/b"), `"1%202","b",undefined`);
    assertEquals(await get("/params/of//b"), "404");
  });

  await t.step("QueryParam() returns the first value of its name, and undefined for an empty one", async () => {
    assertEquals(await get("/params/query?a=%20x+y&a=2"), `" x y",undefined`);
    assertEquals(await get("/params/query?a=&b=0"), `undefined,"0"`);
  });

  await t.step(
    "QueryParams() returns the last value of each name; without a query the next parameter takes its position",
    async () => {
      assertEquals(await get("/params/whole-query?a=1&a=2", { cookie: "c=3" }), `{"a":"2"},"3"`);
      assertEquals(await get("/params/whole-query", { cookie: "c=3" }), `"3"`);
    },
  );

  await t.step("Cookie() returns the last value of its name, not decoded", async () => {
    assertEquals(await get("/params/whole-query?a=1", { cookie: "c=%20; other=1; c=%3D" }), `{"a":"1"},"%3D"`);
    assertEquals(await get("/params/whole-query?a=1"), `{"a":"1"},undefined`);
  });

  await t.step("the numbers of ActionParam() only sort the parameters", async () => {
    assertEquals(await get("/params/gap?a=1&b=2"), `"1","2"`);
  });

  await t.step("unbound parameters of an action are not passed", async () => {
    assertEquals(await get("/params/unbound?a=1"), "0");
  });

  await t.step("Ctx(), Req() and Res() return the context, its request and its response", async () => {
    assertEquals(await get("/params/context"), "[true,true,true]");
  });

  await t.step("Body() returns the parsed body, transformed if it is given a function", async () => {
    const init = { method: "POST", body: `{"a":1}`, headers: { "content-type": "application/json" } };
    assertEquals((await server.request("/params/body", init)).text, `{"body":{"a":1}}`);
    assertEquals((await server.request("/params/transformed", init)).text, `[{"a":1}]`);
  });

  await t.step(
    "settings.middlewares selects and orders the decorated middlewares; those of app.use() follow",
    async () => {
      called = [];
      await get("/middleware");
      assertEquals(called, ["first.pre", "second.pre", "used.pre", "first.post", "second.post", "used.post"]);
    },
  );

  await t.step("a middleware's RegExp with the g flag keeps its lastIndex between requests", async () => {
    app.use(/global/g, new Noted("global"));
    called = [];
    await get("/global");
    await get("/global");
    await get("/global");
    assertEquals(called, ["global.pre", "global.post", "global.pre", "global.post"]);
  });

  await t.step("a middleware needs both of its methods", async () => {
    app.use(/^\/half$/, { onPreRequest: () => {} });
    assertEquals(await get("/half"), "500");
  });
});
