/**
 * The session of a context for which no `SessionMiddleware` ran.
 *
 * @module
 */
import { SessionError } from "./errors.ts";
import { Session } from "./session.ts";

/** The advice of an error about a missing session: how to register the middleware. */
export const REGISTER_MIDDLEWARE: string =
  "register SessionMiddleware before AuthMiddleware, and before every middleware, hook or action that uses the " +
  "session, with a RegExp that matches the path";

/**
 * The key under which Alosaur's `CookiesScheme` keeps the identity. `AuthMiddleware` reads it for
 * every request, also where the application wants no sessions, and expects nothing.
 */
const IDENTITY_KEY = "__identity_cookie";

/**
 * Takes the place of the session until `SessionMiddleware` sets it. Every use throws an error that
 * says how to register the middleware, except for two: `available` is `false`, and Alosaur's
 * `AuthMiddleware` finds nobody signed in.
 *
 * Note: it cannot be a getter that throws. `CookiesScheme` reads `security.session` before anything
 * else, exactly as an action does. Only the key that it asks for tells the two apart.
 */
export const missingSession: Session = new Proxy(Object.create(null) as Session, {
  get(_target, property): unknown {
    if (property === "available") return false;
    if (property === "get") return getIdentity;
    // Other names are those of a runtime that inspects, logs or awaits the object.
    if (property === "constructor" || !Object.hasOwn(Session.prototype, property)) return undefined;
    throw missingError(property.toString());
  },
});

function getIdentity(key: string): Promise<undefined> {
  if (key === IDENTITY_KEY) return Promise.resolve(undefined);
  throw missingError("get");
}

function missingError(member: string): SessionError {
  const message = `Cannot use \`session.${member}\`: no SessionMiddleware ran for the request; ${REGISTER_MIDDLEWARE}`;
  return new SessionError(member, message);
}
