// deno-lint-ignore-file ban-types -- Alosaur's own public signatures are Object
import type { ViewRenderConfig } from "../models/mod.ts";
import type { ActionResult } from "../models/response.ts";
import { Content } from "./content.ts";

export { Content };

/** 204, without a body. */
export function NoContent(headers: Headers = new Headers()): ActionResult {
  return { status: 204, headers, __isActionResult: true };
}

/** 302 to `url`. */
export function Redirect(url: string): ActionResult {
  return { status: 302, headers: new Headers({ location: url }), __isActionResult: true };
}

/** 301 to `url`. */
export function RedirectPermanent(url: string): ActionResult {
  return { status: 301, headers: new Headers({ location: url }), __isActionResult: true };
}

/** Answers if nothing else did. */
export function notFoundAction(): ActionResult {
  return Content("Not found", 404);
}

let viewRenderConfig: ViewRenderConfig;

/** Sets the template engine of {@linkcode View}, for the whole process. */
export function setViewRenderConfig(config: ViewRenderConfig): void {
  viewRenderConfig = config;
}

/** A page of the configured template engine. */
export async function View(path: string, model: Object, status: number = 200): Promise<ActionResult> {
  const body = await viewRenderConfig.getBody(path, model, viewRenderConfig);
  return { body, status, headers: new Headers({ "content-type": "text/html; charset=UTF-8" }), __isActionResult: true };
}
