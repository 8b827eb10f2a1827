import type { MiddlewareTarget } from "../../../models/mod.ts";
import type { AuthenticationScheme } from "../../authentication/core/auth.interface.ts";
import type { SecurityContext } from "../../context/security-context.ts";

/** Authenticates the visitor before the action. */
export class AuthMiddleware implements MiddlewareTarget {
  constructor(private readonly schemes: AuthenticationScheme[]) {}

  async onPreRequest(context: SecurityContext<unknown>): Promise<void> {
    for (const scheme of this.schemes) await scheme.authenticate(context);
  }

  onPostRequest(): void {}
}
