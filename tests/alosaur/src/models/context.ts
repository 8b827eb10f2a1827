// deno-lint-ignore-file no-explicit-any -- Alosaur's own public signatures are any
import { type IImmediatelyResponse, ImmediatelyResponse } from "./response.ts";

/** The base of {@linkcode HttpContext}. Not exported from `mod.ts`, and never looked up in a container. */
export class Context<T = any> {
  state?: T = undefined;
  readonly response: IImmediatelyResponse = new ImmediatelyResponse();
}
