/**
 * The opening of a backend by `init()`, and its failure.
 *
 * @module
 */
import { SessionStoreError } from "../errors.ts";
import { noop } from "../util/maybe_promise.ts";
import { withTimeout } from "../util/timeout.ts";

/** The server of a backend, as far as the client exposes it. */
export interface Server {
  /** The address without credentials, such as `"127.0.0.1:6379"`, or a path; `""` if unknown. */
  readonly address: string;
  /** The user that the store signs in as. The message of an error leaves out its name. */
  readonly user: string;
}

/** A server of which the client exposes nothing. */
export const UNKNOWN_SERVER: Server = { address: "", user: "" };

/** A backend that could not be opened. */
interface Unopened {
  /** The name of the backend, such as `"Redis"`. */
  backend: string;
  server?: Server;
  /** The action that the message recommends. */
  advice: string;
}

/**
 * Creates the error of `init()`, or of `watch()`. Administrators read it at startup. It names the
 * backend, its address, the reason and what to do.
 */
export function openError(
  { backend, server: { address, user } = UNKNOWN_SERVER, advice }: Unopened,
  cause: unknown,
  operation: "init" | "watch" = "init",
): SessionStoreError {
  const { message = "", code = "" }: { message?: string; code?: unknown } = Object(cause);
  const reason = withoutUser(message || String(code) || "it failed", user);
  const where = `${backend}${address && ` at ${address}`}`;
  const action = operation === "init" ? "open" : "watch";
  return new SessionStoreError(operation, `Cannot ${action} the sessions in ${where}: ${reason}; ${advice}`, { cause });
}

/**
 * Waits for a backend that is being opened. A backend that hangs accepts the connection and never
 * answers.
 *
 * @param seconds how long to wait
 * @param answer the answer of the backend
 * @param onSilence called if there is none within that time
 * @throws {Error} if there is none within that time
 */
export function answerWithin<T>(seconds: number, answer: Promise<T>, onSilence = noop): Promise<T> {
  return withTimeout(answer, seconds, () => {
    onSilence();
    return new Error(`it did not answer within ${seconds} s`);
  });
}

/** Returns a host and a port as an address. An IPv6 address gets brackets, if it has none. */
export function addressOf(host: string, port: string): string {
  return host.includes(":") && !host.startsWith("[") ? `[${host}]:${port}` : `${host}:${port}`;
}

function withoutUser(text: string, user: string): string {
  return user === "" ? text : text.replaceAll(new RegExp(`(?<!\\w)${RegExp.escape(user)}(?!\\w)`, "g"), "<user>");
}
