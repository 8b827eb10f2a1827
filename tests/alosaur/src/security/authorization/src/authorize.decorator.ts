// deno-lint-ignore-file ban-types -- Alosaur's own public signatures are Function
import { UseHook } from "../../../decorator/mod.ts";
import type { HookTarget } from "../../../models/mod.ts";
import type { AuthenticationScheme } from "../../authentication/core/auth.interface.ts";
import type { SecurityContext } from "../../context/security-context.ts";
import type { AuthPolicy } from "./auth-policy.model.ts";

export type AuthPayload = { roles?: string[]; policy?: AuthPolicy };

export type SchemePayload = { scheme: AuthenticationScheme; payload?: AuthPayload };

/** Requires an identity. With a payload, the identity needs one of its roles or must pass its policy. */
export class AutorizeHook implements HookTarget<unknown, SchemePayload> {
  async onPreAction(context: SecurityContext<unknown>, { scheme, payload }: SchemePayload): Promise<boolean> {
    const identity = context.security.auth.identity();
    let passes = identity !== undefined && payload === undefined;
    if (identity && payload) {
      passes = identity.roles?.some((role) => payload.roles?.includes(role)) ?? false;
      if (!passes && payload.policy) passes = await payload.policy(context);
    }
    if (passes) scheme.onSuccessResult(context);
    else scheme.onFailureResult(context);
    return passes;
  }
}

/** Adds {@linkcode AutorizeHook} to an action, a controller or an area. */
export function Authorize(scheme: AuthenticationScheme, payload?: AuthPayload): Function {
  return UseHook(AutorizeHook, { scheme, payload });
}
