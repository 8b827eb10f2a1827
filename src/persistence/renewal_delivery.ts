/**
 * Whether the client has received the new id of a renewal.
 *
 * @module
 */
import type { SessionMeta } from "../session_store.ts";
import type { SessionChange } from "./store_adapter.ts";

/**
 * Returns whether a record belongs to a session that `renewalTimeout` has renewed, and no request
 * has presented the new id. The client may not have received it. Until then the old id still leads
 * to the session, even if its grace period has passed, and is not reuse.
 */
export function isUndelivered(oldId: string, { meta }: { meta: SessionMeta }): boolean {
  return meta.replaces === oldId;
}

/**
 * Returns the change for a session that has got a new id. The request has presented the former id,
 * so it does not know whether the new one was delivered, and it does not send the new cookie.
 */
export function withoutDelivery({ meta, ...change }: SessionChange): SessionChange {
  const { replaces: _, sentAt: __, maxAgeSent: ___, ...kept } = meta ?? {};
  return { ...change, meta: kept };
}
