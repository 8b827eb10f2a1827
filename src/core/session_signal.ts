/**
 * The signal that aborts when the session of a request ends.
 *
 * @module
 */
import type { ResponseCookie } from "../cookie/response_cookie.ts";
import { type SessionEnd, SessionGoneError } from "../errors.ts";
import type { SignalSource } from "../persistence/session_signals.ts";
import { effectiveExpiry } from "./lifetime.ts";
import type { LoadedSession } from "./loaded_session.ts";
import type { SessionServices } from "./session_services.ts";

/** The controllers of requests that have asked for the signal before their session was created. */
const early = new WeakMap<ResponseCookie, AbortController>();

/**
 * Returns the signal of a session. Without one, it follows the session that the request creates.
 *
 * @param isStored whether the request has found the session's record
 */
export function sessionSignal(
  services: SessionServices,
  cookie: ResponseCookie,
  session: LoadedSession | undefined,
  isStored: boolean,
): AbortSignal {
  if (session === undefined) {
    const controller = early.get(cookie) ?? new AbortController();
    early.set(cookie, controller);
    return AbortSignal.any([controller.signal]);
  }
  const { signals } = services.repository;
  const end = endOf(services, session);
  if (end !== undefined) return AbortSignal.abort(new SessionGoneError("signal", { end }));
  return signals.hold(source(services, session, isStored));
}

/** Lets the signal that the request has asked for follow the session that it has created. */
export function followSession(services: SessionServices, cookie: ResponseCookie, session: LoadedSession): void {
  const controller = early.get(cookie);
  if (controller === undefined) return;
  early.delete(cookie);
  services.repository.signals.hold(source(services, session, true), controller);
}

function endOf({ repository }: SessionServices, { id, ended, isLive }: LoadedSession): SessionEnd | undefined {
  if (ended === "destroyed") return ended;
  if (ended !== undefined || repository.isEnded(id)) return "gone";
  return isLive ? undefined : "expired";
}

function source({ options, reporter }: SessionServices, session: LoadedSession, isStored: boolean): SignalSource {
  const { id, expiresAt, meta: { principal } } = session;
  return {
    id,
    principal,
    expiresAt,
    isStored,
    expiryOf: ({ expiresAt, meta }) => effectiveExpiry(options, expiresAt, meta),
    report: (error) => reporter.emitStoreFailed("watch", error),
  };
}
