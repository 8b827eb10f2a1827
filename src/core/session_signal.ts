/**
 * The signal that aborts when the session of a request ends.
 *
 * @module
 */
import type { ResponseCookie } from "../cookie/response_cookie.ts";
import { type SessionEnd, SessionGoneError } from "../errors.ts";
import type { SignalSource } from "../persistence/held_session.ts";
import type { LoadedSession } from "./loaded_session.ts";
import type { SessionServices } from "./session_services.ts";

/** The controllers of requests that have asked for the signal before their session was created. */
const early = new WeakMap<ResponseCookie, AbortController>();

/** The sessions whose record is about to be created. */
const uncreated = new WeakSet<LoadedSession>();

/** Returns the signal of a session. Without one, it follows the session that the request creates. */
export function sessionSignal(
  services: SessionServices,
  cookie: ResponseCookie,
  session: LoadedSession | undefined,
): AbortSignal {
  if (session === undefined) {
    const controller = early.get(cookie) ?? new AbortController();
    early.set(cookie, controller);
    return AbortSignal.any([controller.signal]);
  }
  const { signals } = services.repository;
  const end = endOf(services, session);
  if (end !== undefined) return AbortSignal.abort(new SessionGoneError("signal", { end }));
  return signals.hold(source(services, session));
}

/** The record of a session will be created. Until then, the store does not have it. */
export function expectCreation(session: LoadedSession): void {
  uncreated.add(session);
}

/** The record exists. A signal that the request has asked for before follows the session from now on. */
export function onCreated(services: SessionServices, cookie: ResponseCookie, session: LoadedSession): void {
  const { signals } = services.repository;
  uncreated.delete(session);
  signals.created(session.id);
  const controller = early.get(cookie);
  if (controller === undefined) return;
  early.delete(cookie);
  signals.hold(source(services, session), controller);
}

/** The record could not be created. */
export function onNotCreated({ repository }: SessionServices, session: LoadedSession): void {
  uncreated.delete(session);
  repository.signals.end(session.id, "gone");
}

function endOf({ repository }: SessionServices, { id, ended, isLive }: LoadedSession): SessionEnd | undefined {
  if (ended === "destroyed") return ended;
  const end = repository.endOf(id);
  if (end !== undefined || ended !== undefined) return end ?? "gone";
  return isLive ? undefined : "expired";
}

function source({ signalPolicy: policy }: SessionServices, session: LoadedSession): SignalSource {
  const { id, expiresAt, meta: { principal, clearedAt } } = session;
  return { id, principal, clearedAt, expiresAt, isStored: !uncreated.has(session), policy };
}
