/**
 * The error of an `init()` that could not open its backend.
 *
 * @module
 */
import { SessionStoreError } from "../errors.ts";

/** A backend that could not be opened. */
interface Unopened {
  /** The backend and its address, without credentials, such as `"Redis at 127.0.0.1:6379"`. */
  where: string;
  /** What to do. */
  advice: string;
  /** The user that the store signs in as. The message leaves out its name. */
  user?: string;
}

/**
 * Creates the error. It is the only message of a store that an administrator reads at the start, so
 * it says which backend could not be opened, where, why, and what to do.
 */
export function openError({ where, advice, user = "" }: Unopened, cause: unknown): SessionStoreError {
  const { message = "", code = "" }: { message?: string; code?: unknown } = Object(cause);
  const reason = withoutUser(message || String(code) || "it failed", user);
  return new SessionStoreError("init", `Cannot open the sessions in ${where}: ${reason}; ${advice}`, { cause });
}

function withoutUser(text: string, user: string): string {
  return user === "" ? text : text.replaceAll(new RegExp(`(?<!\\w)${RegExp.escape(user)}(?!\\w)`, "g"), "<user>");
}
