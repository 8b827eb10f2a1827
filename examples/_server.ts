/**
 * The secret and the port of the examples. Not part of the package.
 *
 * @module
 */
import type { App } from "alosaur/mod.ts";

/**
 * Returns the secret from the environment variable SESSION_SECRET. A secret does not belong in the
 * source code. Without the variable the secret is random and lasts for one run.
 */
export function secret(): string | Uint8Array {
  const fromEnvironment = Deno.env.get("SESSION_SECRET");
  if (fromEnvironment) return fromEnvironment;
  console.info("SESSION_SECRET is not set. The secret is random, and every session ends with this process.");
  return crypto.getRandomValues(new Uint8Array(32));
}

// All interfaces, as with Alosaur's own `:8000`. The published port of a container would not reach
// 127.0.0.1. The local network can reach the example too; use 127.0.0.1 to prevent that.
const hostname = "0.0.0.0";

/**
 * Serves the application on the port of the environment variable PORT, by default 8000. Port 0
 * means any free port.
 */
export async function listen(app: App<unknown>): Promise<void> {
  const port = checkPort(Number(Deno.env.get("PORT") || 8000));
  await app.listen({ hostname, port });
  console.info(`Listening on http://localhost:${port}/`);
}

/**
 * Returns the port if it is free, or a free one for port 0; otherwise exits with a message. Alosaur
 * serves in the background, so the application could not catch the error.
 */
function checkPort(port: number): number {
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
