/**
 * A stand-in for `alosaur/mod.ts`, for tests. See the README beside it.
 *
 * @module
 */
export * from "./src/app.ts";
export * from "./src/decorator/mod.ts";
export * from "./src/di/mod.ts";
export * from "./src/http-error/mod.ts";
export * from "./src/models/mod.ts";
export { Content, NoContent, notFoundAction, Redirect, RedirectPermanent, View } from "./src/renderer/mod.ts";
export * from "./src/types/mod.ts";
