/** Stores with a defect if their backend cannot be reached. */
import {
  MemoryStore,
  type PingableStore,
  type PrincipalStore,
  SessionGoneError,
  type SessionStore,
  type WatchedStore,
} from "../../../mod.ts";
import { BasicStore } from "../../helpers/stores.ts";
import { basicStore, type Defect, unreachableStore, withMethods } from "./defect.ts";

export const UNREACHABLE_BACKEND_DEFECTS: Defect[] = [
  {
    name: "reports missing sessions if its backend cannot be reached",
    create: basicStore(() => ({})),
    foundBy: "every method rejects",
    options: {
      broken: () => new BasicStore(),
    },
  },
  {
    name: "puts the session id into the error of an unreachable backend",
    create: basicStore(() => ({})),
    foundBy: "every method rejects, and no error contains the session id",
    options: {
      broken: () =>
        withMethods<SessionStore>(unreachableStore(), {
          exist: (sid) => Promise.reject(new Error(`no way to ${sid}`)),
        }),
    },
  },
  {
    name: "rejects with a SessionGoneError if its backend cannot be reached",
    create: basicStore(() => ({})),
    foundBy: "every method rejects",
    options: {
      broken: () =>
        withMethods<SessionStore>(unreachableStore(), { setValue: () => Promise.reject(new SessionGoneError("set")) }),
    },
  },
  {
    name: "hangs if its backend cannot be reached",
    create: basicStore(() => ({})),
    foundBy: "every method rejects",
    options: {
      broken: () =>
        withMethods<SessionStore>(unreachableStore(), {
          init: () => new Promise(() => {}),
          exist: () => new Promise(() => {}),
        }),
    },
  },
  {
    name: "gives every visitor a new session if its backend cannot be reached",
    create: basicStore(() => ({})),
    foundBy: "a request with a live session's cookie fails",
    options: {
      broken: () =>
        withMethods<PrincipalStore>(unreachableStore() as PrincipalStore, {
          readRecord: () => Promise.resolve(undefined),
        }),
    },
  },

  {
    name: "resolves clear() if its backend cannot be reached",
    create: basicStore(() => ({})),
    foundBy: "every method rejects",
    options: {
      broken: () => withMethods<SessionStore>(unreachableStore(), { clear: () => Promise.resolve() }),
    },
  },
  {
    name: "resolves ping() if its backend cannot be reached",
    create: basicStore(() => ({})),
    foundBy: "every method rejects",
    options: {
      broken: () => withMethods<PingableStore>(unreachableStore() as PingableStore, { ping: () => Promise.resolve() }),
    },
  },
  {
    name: "hangs in ping() if its backend cannot be reached",
    create: basicStore(() => ({})),
    foundBy: "every method rejects",
    options: {
      broken: () =>
        withMethods<PingableStore>(unreachableStore() as PingableStore, { ping: () => new Promise(() => {}) }),
    },
  },
  {
    name: "resolves watch() if its backend cannot be reached",
    create: basicStore(() => ({})),
    foundBy: "every method rejects",
    options: {
      broken: () =>
        withMethods<WatchedStore>(unreachableStore() as WatchedStore, {
          watch: () => new MemoryStore().watch(() => {}),
        }),
    },
  },
  {
    name: "reports an outdated version if its backend cannot be reached",
    create: basicStore(() => ({})),
    foundBy: "every method rejects",
    options: {
      broken: () =>
        withMethods<PrincipalStore>(unreachableStore() as PrincipalStore, {
          changeRecord: () => Promise.resolve(false),
        }),
    },
  },
  {
    name: "lists no sessions if its backend cannot be reached",
    create: basicStore(() => ({})),
    foundBy: "every method rejects",
    options: {
      broken: () =>
        withMethods<PrincipalStore>(unreachableStore() as PrincipalStore, { listSessions: () => Promise.resolve([]) }),
    },
  },
];
