export * from "./auth.interface.ts";
