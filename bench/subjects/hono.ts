/**
 * hono-sessions and `@hono/session`, on Hono.
 *
 * @module
 */
import { type Context, Hono, type MiddlewareHandler } from "npm:hono@4.13.19";
import { MemoryStore, type Session, sessionMiddleware } from "npm:hono-sessions@0.8.1";
import { type SessionEnv, type Storage, useSession, useSessionStorage } from "npm:@hono/session@0.2.1";
import { overFetch, type Subject } from "./subject.ts";

interface Values extends Record<string, unknown> {
  n?: number;
}

/**
 * @param encryptionKey encrypts the id in the cookie; by default, the cookie is the plain id
 * without a signature
 */
export function honoSessions(encryptionKey?: string): Subject<Response> {
  const store = new MemoryStore();
  const app = new Hono<{ Variables: { session: Session<Values>; session_key_rotation: boolean } }>();
  app.use(
    "*",
    sessionMiddleware({ store, encryptionKey, cookieOptions: { path: "/", httpOnly: true, sameSite: "Lax" } }),
  );
  app.get("/read", (c) => c.text(String(c.get("session").get("n") ?? "none")));
  app.get("/readWrite", (c) => {
    const n = (c.get("session").get("n") ?? 0) + 1;
    c.get("session").set("n", n);
    return c.text(String(n));
  });
  app.get("/write", (c) => {
    c.get("session").set("n", 1);
    return c.text("1");
  });
  app.get("/untouched", (c) => c.text("ok"));
  const { data } = store as unknown as { data: Map<string, unknown> };
  const subject = overFetch({ with: (request) => app.fetch(request), without: plain() }, () => data.clear());
  return { ...subject, isEager: true };
}

export function honoSession(): Subject<Response> {
  const sessions = new Map<string, Values>();
  const storage: Storage<Values> = {
    get: (id) => sessions.get(id) ?? null,
    set: (id, values) => void sessions.set(id, values),
    delete: (id) => void sessions.delete(id),
  };
  const app = new Hono<SessionEnv<Values>>();
  app.use("*", useSessionStorage(storage));
  app.use("*", useSession<Values>({ secret: "0123456789abcdef".repeat(4) }));
  app.get("/read", async (c) => c.text(String((await c.var.session.get())?.n ?? "none")));
  app.get("/readWrite", async (c) => {
    const n = ((await c.var.session.get())?.n ?? 0) + 1;
    await c.var.session.update({ n });
    return c.text(String(n));
  });
  app.get("/write", async (c) => {
    await c.var.session.update({ n: 1 });
    return c.text("1");
  });
  app.get("/untouched", (c) => c.text("ok"));
  return overFetch({ with: (request) => app.fetch(request), without: plain() }, () => sessions.clear());
}

function plain(): (request: Request) => Response | Promise<Response> {
  const app = new Hono();
  const nothing: MiddlewareHandler = async (_c, next) => await next();
  app.use("*", nothing);
  const one = (c: Context): Response => c.text("1");
  app.get("/read", one);
  app.get("/readWrite", one);
  app.get("/write", one);
  app.get("/untouched", (c) => c.text("ok"));
  return (request) => app.fetch(request);
}
