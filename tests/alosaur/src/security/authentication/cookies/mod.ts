export * from "./src/cookies-authentication.ts";
export * from "./src/cookies.scheme.ts";
