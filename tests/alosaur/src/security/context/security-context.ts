// deno-lint-ignore-file no-explicit-any -- Alosaur's own public signatures are any
import { Injectable } from "../../di/mod.ts";
import { HttpContext } from "../../models/http-context.ts";
import { SERVER_REQUEST } from "../../models/tokens.model.ts";
import { Security } from "../security.ts";

/** The context of an application that provides it for {@linkcode HttpContext}. */
@Injectable({ inject: [SERVER_REQUEST] })
export class SecurityContext<T = any> extends HttpContext<T> {
  security: Security;

  constructor(serverRequest: Request) {
    super(serverRequest);
    this.security = new Security(this);
  }
}
