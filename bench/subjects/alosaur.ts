/** This project, on the Alosaur that `alosaur/` is mapped to. */
import { MemoryStore, SessionMiddleware } from "../../mod.ts";
import { createApp, noop, plainPages, sessionPages } from "../application.ts";
import { overFetch, type Subject } from "./subject.ts";

export async function alosaur(): Promise<Subject<Response>> {
  const store = new MemoryStore();
  await store.init();
  const app = createApp(sessionPages("/a"), plainPages("/b"));
  // What a process's applications use is one list: paths keep the two apart, and cost both the same.
  app.use(/^\/a\//, new SessionMiddleware(store, { secret: SessionMiddleware.generateSecret() }));
  app.use(/^\/b\//, noop);
  const handler = await handlerOf(app);
  return overFetch({ with: handler, without: handler }, () => void store.clear(), { with: "/a", without: "/b" });
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
