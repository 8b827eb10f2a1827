export * from "./src/auth-policy.model.ts";
export * from "./src/auth.middleware.ts";
export { Authorize, AutorizeHook } from "./src/authorize.decorator.ts";
