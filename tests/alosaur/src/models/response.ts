// deno-lint-ignore-file no-explicit-any -- Alosaur's own public signatures are any
import { Content } from "../renderer/content.ts";

type ResponseBody = Uint8Array | ReadableStream<Uint8Array> | string | any;

/** What is needed to build a `Response`. */
export interface PrimitiveResponse {
  headers: Headers;
  body?: ResponseBody;
  status?: number;
}

/** What `Content()`, `Redirect()` and the like return. */
export interface ActionResult extends PrimitiveResponse {
  __isActionResult: true;
}

/** A response that can be asked to leave at once. */
export interface IImmediatelyResponse {
  error?: Error;
  setImmediately(): void;
  isImmediately(): boolean;
}

/** Remembers whether the response is to leave at once. */
export class ImmediatelyResponse implements IImmediatelyResponse {
  /** What the action threw. What a middleware, a hook or the merge throws is not recorded here. */
  error?: Error = undefined;
  private immediately = false;

  setImmediately(): void {
    this.immediately = true;
  }

  isImmediately(): boolean {
    return this.immediately;
  }
}

/** What the application wants to answer. */
export class AlosaurResponse extends ImmediatelyResponse {
  readonly headers: Headers = new Headers();
  /** Note: counts only together with `body`. */
  status?: number = undefined;
  body?: ResponseBody = undefined;
  result?: ActionResult | Response | any = undefined;
  private notRespond = false;

  /** Note: has no effect on what is sent. */
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
   * Merges what is to be sent.
   *
   * Note: the headers of an action result are changed in place. Merged twice, or returned for two requests, one result
   * carries the headers of both.
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
