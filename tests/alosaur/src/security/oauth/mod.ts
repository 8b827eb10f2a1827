export * from "./base/oauth-middleware.ts";
export * from "./base/oauth-options.ts";
