export * from "./memory-response-cache.store.ts";
export * from "./response-cache-store.interface.ts";
export * from "./response-cache.decorator.ts";
