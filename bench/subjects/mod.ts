/**
 * The subjects of the in-process benchmark.
 *
 * @module
 */
import type { Subject } from "./subject.ts";

/** A subject, and how tables and pictures describe it. */
export interface SubjectEntry {
  /** The name in tables. */
  title: string;
  /** The framework, or the interface that the subject implements. */
  over: string;
  /** The packages of the subject, pinned. */
  packages: string[];
  /** Whether sessions are stored on the server. If not, they are stored in the cookie. */
  hasStore: boolean;
  /** Whether another project publishes it. */
  isPeer: boolean;
  /** @param entryPoint the URL of the `mod.ts` to measure, for the subject `ours` */
  load(entryPoint?: string): Promise<Subject>;
}

/** The subjects by name. A worker imports only the packages of the subject that it loads. */
export const SUBJECTS = {
  ours: {
    title: "this project",
    over: "Alosaur",
    packages: [],
    hasStore: true,
    isPeer: false,
    load: async (entryPoint?: string) => await (await import("./alosaur.ts")).alosaur(entryPoint),
  },
  oursSignedIn: {
    title: "this project, signed in",
    over: "Alosaur",
    packages: [],
    hasStore: true,
    isPeer: false,
    load: async () => await (await import("./alosaur.ts")).alosaurDevices("none"),
  },
  oursUnbound: {
    title: "the same with DBSC, not bound",
    over: "Alosaur",
    packages: [],
    hasStore: true,
    isPeer: false,
    load: async () => await (await import("./alosaur.ts")).alosaurDevices("unbound"),
  },
  oursBound: {
    title: "the same with DBSC, bound",
    over: "Alosaur",
    packages: [],
    hasStore: true,
    isPeer: false,
    load: async () => await (await import("./alosaur.ts")).alosaurDevices("bound"),
  },
  floor: {
    title: "floor",
    over: "Request to Response",
    packages: ["@noble/hashes@2.4.0"],
    hasStore: true,
    isPeer: false,
    load: async () => (await import("./floor.ts")).floor(false),
  },
  floorCached: {
    title: "floor, cached verification",
    over: "Request to Response",
    packages: ["@noble/hashes@2.4.0"],
    hasStore: true,
    isPeer: false,
    load: async () => (await import("./floor.ts")).floor(true),
  },
  honoSessionsUnsigned: {
    title: "hono-sessions, unsigned id",
    over: "Hono",
    packages: ["hono-sessions@0.8.1", "hono@4.13.19"],
    hasStore: true,
    isPeer: true,
    load: async () => (await import("./hono.ts")).honoSessions(),
  },
  fastify: {
    title: "@fastify/session",
    over: "Fastify",
    packages: ["@fastify/session@11.1.3", "@fastify/cookie@11.1.5", "fastify@5.12.8"],
    hasStore: true,
    isPeer: true,
    load: async () => await (await import("./fastify.ts")).fastify(),
  },
  koa: {
    title: "koa-session + Map",
    over: "Koa",
    packages: ["koa-session@7.0.2", "koa@3.3.0"],
    hasStore: true,
    isPeer: true,
    load: async () => (await import("./koa.ts")).koaSession(),
  },
  express: {
    title: "express-session",
    over: "Express",
    packages: ["express-session@1.19.0", "express@5.3.0"],
    hasStore: true,
    isPeer: true,
    load: async () => (await import("./express.ts")).expressSession(),
  },
  honoSession: {
    title: "@hono/session + Map",
    over: "Hono",
    packages: ["@hono/session@0.2.1", "hono@4.13.19"],
    hasStore: true,
    isPeer: true,
    load: async () => (await import("./hono.ts")).honoSession(),
  },
  honoSessions: {
    title: "hono-sessions, encrypted id",
    over: "Hono",
    packages: ["hono-sessions@0.8.1", "hono@4.13.19"],
    hasStore: true,
    isPeer: true,
    load: async () => (await import("./hono.ts")).honoSessions("a key of at least 32 characters, of this benchmark"),
  },
  cookieSession: {
    title: "cookie-session",
    over: "Express",
    packages: ["cookie-session@2.1.1", "express@5.3.0"],
    hasStore: false,
    isPeer: true,
    load: async () => (await import("./express.ts")).expressCookieSession(),
  },
  ironSession: {
    title: "iron-session",
    over: "Request to Response",
    packages: ["iron-session@9.0.1"],
    hasStore: false,
    isPeer: true,
    load: async () => (await import("./iron_session.ts")).ironSession(),
  },
} satisfies Record<string, SubjectEntry>;

export type SubjectName = keyof typeof SUBJECTS;
