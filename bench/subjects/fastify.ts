/**
 * `@fastify/session`, on Fastify.
 *
 * @module
 */
import createFastify, { type FastifyInstance, type FastifyRequest } from "npm:fastify@5.12.8";
import fastifyCookie from "npm:@fastify/cookie@11.1.5";
import fastifySession from "npm:@fastify/session@11.1.3";
import { overNode, type Subject } from "./subject.ts";

/**
 * The part of the session that is used here. The package declares it by augmenting Fastify's types.
 */
interface Session {
  get(key: "n"): number | undefined;
  set(key: "n", value: number): void;
}

/** A store that express-session and `@fastify/session` both accept. */
export type PeerStore = object;

/**
 * Creates the application.
 *
 * @param store keeps the sessions; in memory by default
 */
export async function fastifyApp(sessions: boolean, store?: PeerStore): Promise<FastifyInstance> {
  const app = createFastify({ logger: false });
  if (sessions) {
    await app.register(fastifyCookie);
    await app.register(fastifySession, {
      secret: "a secret of at least 32 characters, of this benchmark",
      saveUninitialized: false,
      rolling: false,
      cookie: { secure: false, path: "/", maxAge: 86_400_000 },
      ...(store === undefined ? {} : { store: store as never }),
    });
    app.get("/read", async (request) => String(await session(request).get("n") ?? "none"));
    app.get("/readWrite", async (request) => {
      const n = (await session(request).get("n") ?? 0) + 1;
      session(request).set("n", n);
      return String(n);
    });
    app.get("/write", async (request) => {
      await session(request).set("n", 1);
      return "1";
    });
  } else {
    const one = async (): Promise<string> => await "1";
    app.get("/read", one);
    app.get("/readWrite", one);
    app.get("/write", one);
  }
  app.get("/untouched", async () => await "ok");
  await app.ready();
  return app;
}

export async function fastify(): Promise<Subject> {
  const sessions = new Map<string, unknown>();
  const { MemoryStore } = fastifySession as unknown as { MemoryStore: new (map: Map<string, unknown>) => PeerStore };
  const app = await fastifyApp(true, new MemoryStore(sessions));
  const plain = await fastifyApp(false);
  return overNode({ with: app.routing, without: plain.routing }, () => sessions.clear());
}

function session(request: FastifyRequest): Session {
  return (request as unknown as { session: Session }).session;
}
