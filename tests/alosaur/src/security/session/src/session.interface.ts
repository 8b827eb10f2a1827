import type { SessionStore } from "./store/store.interface.ts";

/** `context.security.session`, as Alosaur's auth uses it. */
export interface SessionInterface {
  sessionId: string;
  sessionKey: string;
  store: SessionStore;
  get<T>(key: string): Promise<T>;
  set<T>(key: string, value: T): Promise<void>;
}
