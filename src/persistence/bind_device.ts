/**
 * Binds a session to the key of a device.
 *
 * @module
 */
import { SessionGoneError } from "../errors.ts";
import type { SessionMeta } from "../session_store.ts";
import type { StoreAdapter } from "./store_adapter.ts";

/**
 * Binds a session to the key of a device, unless it is bound already.
 *
 * @returns whether the session is bound to this key now
 * @throws {SessionGoneError} if the session has ended or has moved
 */
export async function bindDevice(
  adapter: StoreAdapter,
  sid: string,
  { deviceKey, deviceBoundAt }: Pick<SessionMeta, "deviceKey" | "deviceBoundAt">,
): Promise<boolean> {
  if (await adapter.change(sid, { meta: { deviceKey, deviceBoundAt }, ifNoDevice: true })) return true;
  // The connection may have broken after the store had executed the write. If its client then sent
  // the write again, that attempt found the session bound, but to our own key.
  const found = await adapter.read(sid);
  if (found === undefined || !("values" in found)) throw new SessionGoneError("bindDevice");
  return found.meta.deviceKey === deviceKey;
}
