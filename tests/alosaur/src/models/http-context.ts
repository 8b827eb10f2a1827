// deno-lint-ignore-file no-explicit-any -- Alosaur's own public signatures are any
import { Injectable } from "../di/mod.ts";
import { Context } from "./context.ts";
import { AlosaurRequest } from "./request.ts";
import { AlosaurResponse } from "./response.ts";
import { SERVER_REQUEST } from "./tokens.model.ts";

/** The context of one request. */
@Injectable({ inject: [SERVER_REQUEST] })
export class HttpContext<T = any> extends Context<T> {
  request: AlosaurRequest;
  override response: AlosaurResponse;

  constructor(serverRequest: Request) {
    super();
    this.request = new AlosaurRequest(serverRequest);
    this.response = new AlosaurResponse();
  }
}
