import type { SessionStore } from "./store/store.interface.ts";

/** What the security pieces expect as `context.security.session`. */
export interface SessionInterface {
  sessionId: string;
  sessionKey: string;
  store: SessionStore;
  get<T>(key: string): Promise<T>;
  set<T>(key: string, value: T): Promise<void>;
}
