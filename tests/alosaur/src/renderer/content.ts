// deno-lint-ignore-file ban-types -- Alosaur's own public signatures are Object
import type { ActionResult } from "../models/response.ts";

const encoder = new TextEncoder();

/** Objects, numbers and booleans as JSON; the rest as text, without a content type. */
export function Content(
  result?: string | number | boolean | Object,
  status: number = 200,
  headers: Headers = new Headers(),
): ActionResult {
  let text = result;
  if (["object", "number", "boolean"].includes(typeof result)) {
    headers.set("content-type", "application/json; charset=utf-8");
    text = JSON.stringify(result);
  }
  return { body: encoder.encode(text as string | undefined), status, headers, __isActionResult: true };
}
