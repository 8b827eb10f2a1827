/**
 * Prints how many bytes of a request are still in the heap after collections of the young
 * generation, as JSON. Run it with `--v8-flags=--expose-gc,--no-opt,--no-maglev`, because the result
 * must not depend on what V8 has optimized.
 */
import { MemoryStore, SecurityContext } from "../../mod.ts";
import { signUp, start } from "./request.ts";

const REQUESTS = 2000;
const gc: (options: { type: "minor" }) => void = Reflect.get(globalThis, "gc");
const middleware = start({}, new MemoryStore());
// All requests share one `Request`, because Deno keeps more of one that no server has received.
const visitor = new Request("http://localhost/");
const user = new Request("http://localhost/", { headers: { cookie: await signUp(middleware, { n: 1 }) } });

async function serve(request: Request): Promise<void> {
  const context = new SecurityContext(request);
  await middleware.onPreRequest(context);
  const n = await context.security.session.get("n");
  if (n !== (request === user ? 1 : undefined)) throw new Error("the request has a wrong session");
  await middleware.onPostRequest(context);
  context.response.getMergedResult();
}

function heapUsed(): number {
  for (let i = 0; i < 3; i++) gc({ type: "minor" });
  return Deno.memoryUsage().heapUsed;
}

async function bytesPerRequest(request: Request): Promise<number> {
  // The first requests fill caches.
  for (let i = 0; i < REQUESTS; i++) await serve(request);
  const before = heapUsed();
  for (let i = 0; i < REQUESTS; i++) await serve(request);
  return (heapUsed() - before) / REQUESTS;
}

/** Returns the bytes of an array that is not used any more, but has become old. */
function oldGarbage(): number {
  const before = heapUsed();
  (() => {
    const array = Array.from({ length: 10_000 }, (_, i) => ({ i }));
    heapUsed();
    return array;
  })();
  return heapUsed() - before;
}

const results = {
  visitor: await bytesPerRequest(visitor),
  user: await bytesPerRequest(user),
  oldGarbage: oldGarbage(),
};
console.log(JSON.stringify(results));
