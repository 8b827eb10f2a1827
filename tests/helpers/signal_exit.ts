/** Holds the signal of a session, and does nothing more. The process must end by itself. */
import { open, signUp, start } from "./request.ts";

const middleware = start();
const { signal } = (await open(middleware, await signUp(middleware))).session;
signal.addEventListener("abort", () => console.log("aborted"));
console.log("held");
