// deno-lint-ignore-file no-explicit-any -- Alosaur's own public signatures are any
import { Content } from "../renderer/content.ts";

type ResponseBody = Uint8Array | ReadableStream<Uint8Array> | string | any;

/** The parts of a `Response`. */
export interface PrimitiveResponse {
  headers: Headers;
  body?: ResponseBody;
  status?: number;
}

/** The result of `Content()`, `Redirect()` and similar functions. */
export interface ActionResult extends PrimitiveResponse {
  __isActionResult: true;
}

/** A response that can be sent immediately. */
export interface IImmediatelyResponse {
  error?: Error;
  setImmediately(): void;
  isImmediately(): boolean;
}

/** Holds whether the response is to be sent immediately. */
export class ImmediatelyResponse implements IImmediatelyResponse {
  /** The error of the action. Errors of a middleware, a hook or the merge are not recorded here. */
  error?: Error = undefined;
  private immediately = false;

  setImmediately(): void {
    this.immediately = true;
  }

  isImmediately(): boolean {
    return this.immediately;
  }
}

/** The answer of the application. */
export class AlosaurResponse extends ImmediatelyResponse {
  readonly headers: Headers = new Headers();
  /** Note: used only together with `body`. */
  status?: number = undefined;
  body?: ResponseBody = undefined;
  result?: ActionResult | Response | any = undefined;
  private notRespond = false;

  /** Note: has no effect on the answer. */
  setNotRespond(): void {
    this.notRespond = true;
  }

  isNotRespond(): boolean {
    return this.notRespond;
  }

  getRaw(): { headers: Headers; body: any; status: number | undefined } {
    return { headers: this.headers, body: this.body, status: this.status };
  }

  /**
   * Merges the headers and the result into the answer.
   *
   * Note: the headers of an action result are changed in place. If a result is merged twice, or
   * returned for two requests, it has the headers of both.
   */
  getMergedResult(): Response | PrimitiveResponse {
    if (this.result instanceof Response) return this.result;
    if (this.body !== undefined) return this.getRaw();

    const result: ActionResult = this.result !== undefined && this.result.__isActionResult
      ? this.result
      : Content(this.result);
    for (const [name, value] of this.headers) result.headers.append(name, value);
    return result;
  }
}
