/** This project, on the Alosaur that `alosaur/` is mapped to. */
import { MemoryStore, SessionMiddleware } from "../../mod.ts";
import { createApp, noop, plainPages, sessionPages } from "../application.ts";
import { newSessionId } from "../../src/cookie/session_id.ts";
import { overFetch, type Subject } from "./subject.ts";

export async function alosaur(): Promise<Subject<Response>> {
  const store = new MemoryStore();
  await store.init();
  const app = createApp(sessionPages("/a"), plainPages("/b"));
  // What a process's applications use is one list: paths keep the two apart, and cost both the same.
  app.use(/^\/a\//, new SessionMiddleware(store, { secret: SessionMiddleware.generateSecret() }));
  app.use(/^\/b\//, noop);
  const handler = await handlerOf(app);
  const subject = overFetch({ with: handler, without: handler }, () => void store.clear(), {
    with: "/a",
    without: "/b",
  });
  const other = new MemoryStore();
  return { ...subject, fill: (sessions, aside) => fill(aside ? other : store, sessions) };
}

/** Keeps sessions as the middleware makes them, each of one small value and for a day. */
export async function fill(store: MemoryStore, sessions: number): Promise<void> {
  for (let n = 0; n < sessions; n++) {
    const now = Date.now();
    const meta = { createdAt: now, seenAt: now, renewedAt: now };
    await store.createRecord(newSessionId(), { values: new Map([["n", n]]), expiresAt: now + 86_400_000, meta });
  }
}

/** What the application hands to `Deno.serve()`: Alosaur has no other way to be asked without listening. */
async function handlerOf(
  app: { listen(options: Deno.ListenOptions): Promise<unknown> },
): Promise<(request: Request) => Response | Promise<Response>> {
  const serve = Deno.serve;
  const served = Promise.withResolvers<(request: Request) => Response | Promise<Response>>();
  Object.assign(Deno, {
    serve: (_options: unknown, handler: (request: Request) => Response) => {
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
