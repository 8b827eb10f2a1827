import type { HttpContext } from "../models/http-context.ts";
import type { StaticFilesConfig } from "../models/mod.ts";

/** The media types that tests and examples serve. The real Alosaur has many more. */
const mediaTypes: Record<string, string> = {
  css: "text/css; charset=UTF-8",
  html: "text/html; charset=UTF-8",
  js: "text/javascript; charset=UTF-8",
  json: "application/json; charset=UTF-8",
  png: "image/png",
  svg: "image/svg+xml",
  txt: "text/plain; charset=UTF-8",
};

/** Sets the file at the path as the response's body, for every method, and replaces any earlier body. */
export async function serveStaticFile(
  { request, response }: HttpContext,
  config: StaticFilesConfig | undefined,
): Promise<boolean> {
  const baseRoute = config?.baseRoute ?? "/";
  const { pathname } = request.parserUrl;
  if (!config || !pathname.startsWith(baseRoute)) return false;

  try {
    let path = decodeURIComponent(pathname.slice(baseRoute.length));
    if (path.startsWith("/") || path.split("/").some((segment) => segment.startsWith("."))) return false;

    const root = config.root.replace(/\/?$/, "/");
    if ((await Deno.stat(root + path)).isDirectory) {
      if (!config.index) return false;
      path = path.replace(/([^/])$/, "$1/") + config.index;
    }
    const body = await Deno.readFile(root + path);
    const extension = path.slice(path.lastIndexOf(".") + 1).toLowerCase();
    response.headers.set("content-length", String(body.byteLength));
    response.headers.set("cache-control", "max-age=0");
    response.headers.set("content-type", String(mediaTypes[extension]));
    response.body = body;
    return true;
  } catch {
    return false;
  }
}
