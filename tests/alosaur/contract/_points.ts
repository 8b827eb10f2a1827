/**
 * An application in which every middleware, hook and action is a named point.
 *
 * A point records that it was called, and then runs the function that the request has scripted for
 * it. The tests beside this file state the facts about Alosaur v2 with it. They run on the stand-in
 * or on the real Alosaur, depending on what `alosaur/` is mapped to.
 *
 * @module
 */
import {
  ActionParam,
  App,
  Area,
  Content,
  Controller,
  Cookie,
  Ctx,
  Get,
  type HookTarget,
  type HttpContext,
  UseHook,
} from "alosaur/mod.ts";
import { type Answer, serve, type Served } from "../../helpers/serve.ts";

/** The behaviour of one point in a request. */
export type Point = (context: HttpContext) => unknown;

/** The behaviour of each point in the current request. */
let script: Record<string, Point> = {};
/** The points that the last request called, in order. */
export const called: string[] = [];
/** The kind of result of each merge in the last request: a native `Response` or a plain object. */
export const kinds: ("Response" | "object")[] = [];

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
      if (name === "a") recordMerges(context);
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

/** Records each merge among the points, and what kind of result it returned. */
function recordMerges({ response }: HttpContext): void {
  const merge = response.getMergedResult.bind(response);
  response.getMergedResult = () => {
    called.push("merge");
    const merged = merge();
    kinds.push(merged instanceof Response ? "Response" : "object");
    return merged;
  };
}

/** Appends two cookies and a header to the response. */
export function appendHeaders({ response }: HttpContext): void {
  response.headers.append("set-cookie", "a=1");
  response.headers.append("set-cookie", "b=2");
  response.headers.append("x-own", "1");
}

/** The points of a complete request. */
export const wholeWay = ["a.pre", "b.pre", "action", "a.post", "b.post", "merge"];

/** Creates a point that throws. */
export function fail(message: string, httpCode?: number): Point {
  return () => {
    throw Object.assign(new Error(message), { httpCode, shown: message });
  };
}

/** Sets a result and marks the response as immediate. */
export function immediately({ response }: HttpContext): void {
  response.result = Content("at once", 203);
  response.setImmediately();
}

/** The application, listening. */
export interface PointServer extends Served {
  /** Requests a path while each point runs its function in `next`. */
  play(path: string, next: Record<string, Point>, init?: RequestInit): Promise<Answer>;
}

/** Starts the application. */
export async function servePoints(): Promise<PointServer> {
  const server = await serve(app);
  const play = async (path: string, next: Record<string, Point>, init?: RequestInit): Promise<Answer> => {
    script = next;
    called.length = 0;
    kinds.length = 0;
    return await server.request(path, init);
  };
  return { ...server, play };
}
