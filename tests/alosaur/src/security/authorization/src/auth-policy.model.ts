import type { SecurityContext } from "../../context/security-context.ts";

/** Decides whether the visitor may pass. */
export type AuthPolicy = (context: SecurityContext) => Promise<boolean> | boolean;
