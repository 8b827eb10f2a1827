/**
 * Ends the sessions of a client that signs out.
 *
 * @module
 */
import type { ResponseCookie } from "../cookie/response_cookie.ts";
import { UnreadableRecordError } from "../errors.ts";
import type { LoadedSession } from "./loaded_session.ts";
import { isWithheld } from "./session_device.ts";
import type { SessionServices } from "./session_services.ts";

/**
 * Deletes the cookie of a client. The returned function ends the session of the request, and all
 * others whose cookies the client has presented. Otherwise one of those would sign the client in
 * again.
 *
 * The returned function rejects with a `SessionStoreError` if the store failed, and with a
 * `TypeError` if the function `domain` failed, in both cases after all sessions were tried.
 *
 * @param session the session of the request, if there is one
 * @param isNew whether the request came without it
 */
export function signOut(
  services: SessionServices,
  cookie: ResponseCookie,
  session: LoadedSession | undefined,
  isNew: boolean,
): () => Promise<void> {
  const { presented } = cookie;
  const others = !isNew && presented.length === 1 ? [] : presented;
  try {
    cookie.clear();
  } catch (error) {
    return async () => {
      await endSessions(services, others, cookie.header, session);
      throw error;
    };
  }
  return () => endSessions(services, others, cookie.header, session);
}

/**
 * @param presented the cookies, as `name=value`; none if the only one is that of `session`
 * @param header the Cookie header that contains them
 */
async function endSessions(
  services: SessionServices,
  presented: readonly string[],
  header: string,
  session: LoadedSession | undefined,
): Promise<void> {
  const results = [
    ...await Promise.allSettled([session && endOwnSession(services, session)]),
    ...await Promise.allSettled(presented.map((cookie) => endPresentedSession(services, cookie, header))),
  ];
  for (const result of results) if (result.status === "rejected") throw result.reason;
}

async function endOwnSession({ repository, reporter }: SessionServices, session: LoadedSession): Promise<void> {
  // Also one that an earlier write of this request found gone, because another request may have
  // given it a new id.
  if (session.ended !== undefined && session.ended !== "gone") return;
  session.id = await repository.delete(session.id, "destroyed");
  session.ended = "destroyed";
  reporter.emitEnded("destroyed", session.id, session.meta.principal);
}

async function endPresentedSession(services: SessionServices, cookie: string, header: string): Promise<void> {
  const { signer, repository, reporter, cookies } = services;
  const verified = signer.verify(cookie);
  if (typeof verified === "string") return;
  let { id } = verified;
  let principal: string | undefined;
  try {
    const found = await repository.read(id);
    if (typeof found === "string") {
      // An earlier call may have ended it in this process only, because the store failed. An id
      // whose grace period has passed must not end the session that replaced it.
      if (found === "unknown" && !repository.isCurrent(id)) {
        await repository.delete(id, "destroyed", () => true);
      }
      return;
    }
    // A copied cookie must not end the session of another device.
    if (isWithheld(cookies, header, found.meta)) return;
    ({ id, meta: { principal } } = found);
  } catch (error) {
    // The record could be read again, for example if its key comes back.
    if (!(error instanceof UnreadableRecordError)) throw error;
  }
  reporter.emitEnded("destroyed", await repository.delete(id, "destroyed"), principal);
}
