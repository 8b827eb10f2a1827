/**
 * This project, on the Alosaur that `alosaur/` is mapped to.
 *
 * @module
 */
import type { MemoryStore } from "../../mod.ts";
import { newSessionId } from "../../src/cookie/session_id.ts";
import { createApp, noop, plainPages, sessionPages } from "../application.ts";
import { overFetch, type Subject } from "./subject.ts";

type SessionModule = Pick<typeof import("../../mod.ts"), "MemoryStore" | "SecurityContext" | "SessionMiddleware">;

/** @param entryPoint the URL of the `mod.ts` to measure, which may be that of another checkout */
export async function alosaur(entryPoint = import.meta.resolve("../../mod.ts")): Promise<Subject<Response>> {
  const { MemoryStore, SecurityContext, SessionMiddleware }: SessionModule = await import(entryPoint);
  const store = new MemoryStore();
  await store.init();
  // All applications of a process share one list of routes and middlewares. Therefore one
  // application serves both sides, under two paths, and the list costs both the same.
  const app = createApp([sessionPages("/a"), plainPages("/b")], SecurityContext);
  app.use(/^\/a\//, new SessionMiddleware(store, { secret: SessionMiddleware.generateSecret() }));
  app.use(/^\/b\//, noop);
  const handler = await handlerOf(app);
  const subject = overFetch({ with: handler, without: handler }, () => void store.clear(), {
    with: "/a",
    without: "/b",
  });
  const otherStore = new MemoryStore();
  return { ...subject, fill: (sessions, elsewhere) => fill(elsewhere ? otherStore : store, sessions) };
}

/** Stores sessions as the middleware creates them, with one small value and a lifetime of a day. */
export async function fill(store: MemoryStore, sessions: number): Promise<void> {
  for (let n = 0; n < sessions; n++) {
    const now = Date.now();
    const meta = { createdAt: now, seenAt: now, renewedAt: now };
    await store.createRecord(newSessionId(), { values: new Map([["n", n]]), expiresAt: now + 86_400_000, meta });
  }
}

type Handler = (request: Request) => Response | Promise<Response>;

/**
 * Returns the handler that the application passes to `Deno.serve()`. Alosaur does not export it.
 */
async function handlerOf(app: { listen(options: Deno.ListenOptions): Promise<unknown> }): Promise<Handler> {
  const serve = Deno.serve;
  const served = Promise.withResolvers<Handler>();
  Object.assign(Deno, {
    serve: (_options: unknown, handler: Handler) => {
      served.resolve(handler);
      return { finished: Promise.resolve() };
    },
  });
  try {
    await app.listen({ port: 0 });
    return await served.promise;
  } finally {
    Object.assign(Deno, { serve });
  }
}
