export * from "./src/security/authentication/mod.ts";
export * from "./src/security/authorization/mod.ts";
export * from "./src/security/context/security-context.ts";
export * from "./src/security/security.ts";
