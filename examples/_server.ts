/**
 * How the examples get their secret and their port. Not part of the package.
 *
 * @module
 */
import type { App } from "alosaur/mod.ts";

/** The secret from the environment, where it belongs; without one a random secret, good for one run. */
export function secret(): string | Uint8Array {
  const given = Deno.env.get("SESSION_SECRET");
  if (given) return given;
  console.info("SESSION_SECRET is not set: the secret is random, and every session ends with this process.");
  return crypto.getRandomValues(new Uint8Array(32));
}

// As Alosaur's own `:8000`: http://localhost works, and so does the published port of a container, where 127.0.0.1 would
// not be reachable. The local network can reach it too: write 127.0.0.1 to keep it to yourself.
const hostname = "0.0.0.0";

/** Serves the application on the port of env PORT, else 8000. Port 0 is any free one. */
export async function listen(app: App<unknown>): Promise<void> {
  const port = freePort(Number(Deno.env.get("PORT") || 8000));
  await app.listen({ hostname, port });
  console.info(`Listening on http://localhost:${port}/`);
}

/** Alosaur serves in the background, where nobody can catch that the port is taken: so that is found out before. */
function freePort(port: number): number {
  try {
    if (!Number.isInteger(port)) throw new TypeError("it is not a number");
    using listener = Deno.listen({ hostname, port });
    return listener.addr.port;
  } catch (error) {
    const reason = error instanceof Deno.errors.AddrInUse
      ? "it is taken"
      : error instanceof Error
      ? error.message
      : error;
    console.error(`Cannot listen on port ${port}: ${reason}. Set PORT to choose another.`);
    Deno.exit(1);
  }
}
