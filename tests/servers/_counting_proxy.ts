/**
 * Counts round trips on the wire, whatever the protocol.
 *
 * @module
 */

/** A proxy before a server. */
export interface CountingProxy extends AsyncDisposable {
  /** Where it listens, on 127.0.0.1. */
  readonly port: number;
  /** How many times a client has sent something for which it had not yet had an answer, since the proxy was started. */
  readonly trips: number;
}

/** How long an answer is held back, in milliseconds: what a client sends at once, in however many packets, comes before it. */
const LATENCY = 3;

/**
 * Starts a proxy before a server.
 *
 * A round trip begins when a client sends its first byte, or its first byte after an answer; what it sends before the answer
 * belongs to the same trip. That is exact for a client that does one thing at a time on a connection. Opening a connection
 * takes trips too: compare `trips` before and after.
 *
 * @param server where the server listens
 */
export function countTrips({ hostname = "127.0.0.1", port }: { hostname?: string; port: number }): CountingProxy {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const open = new Set<Deno.Conn>();
  let trips = 0;

  async function pass(from: Deno.Conn, to: Deno.Conn, before: () => void | Promise<void>): Promise<void> {
    const buffer = new Uint8Array(64 * 1024);
    try {
      for (let n = await from.read(buffer); n !== null; n = await from.read(buffer)) {
        await before();
        for (let at = 0; at < n;) at += await to.write(buffer.subarray(at, n));
      }
    } catch {
      // One side has gone: so will the other.
    } finally {
      for (const end of [from, to]) if (open.delete(end)) end.close();
    }
  }

  async function serve(client: Deno.Conn): Promise<void> {
    open.add(client);
    const upstream = await Deno.connect({ hostname, port }).catch(() => undefined);
    if (upstream === undefined) {
      if (open.delete(client)) client.close();
      return;
    }
    open.add(upstream);
    let asked = false;
    const ask = (): void => {
      if (!asked) trips++;
      asked = true;
    };
    const answer = async (): Promise<void> => {
      if (!asked) return;
      await new Promise((resolve) => setTimeout(resolve, LATENCY));
      asked = false;
    };
    await Promise.all([pass(client, upstream, ask), pass(upstream, client, answer)]);
  }

  const serving = (async () => {
    const clients: Promise<void>[] = [];
    for await (const client of listener) clients.push(serve(client));
    await Promise.all(clients);
  })();

  return {
    port: listener.addr.port,
    get trips(): number {
      return trips;
    },
    async [Symbol.asyncDispose](): Promise<void> {
      listener.close();
      for (const end of open) end.close();
      open.clear();
      await serving;
    },
  };
}
