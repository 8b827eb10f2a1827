export * from "./cookies/mod.ts";
export * from "./core/mod.ts";
