/**
 * Counts round trips on the wire, for any protocol.
 *
 * @module
 */

/** A proxy in front of a server. */
export interface CountingProxy extends AsyncDisposable {
  /** The port on which it listens, on 127.0.0.1. */
  readonly port: number;
  /** The number of round trips since the proxy was started. */
  readonly trips: number;
}

/** How long an answer is delayed, in milliseconds, so that it follows every packet of a request. */
const LATENCY_MS = 3;

/**
 * Starts a proxy in front of a server.
 *
 * A round trip begins with the first byte that a client sends, and with the first one after an
 * answer. Everything that it sends before the answer belongs to the same round trip. This is exact
 * if the client sends one request at a time on a connection. Opening a connection takes round trips
 * too, so compare `trips` before and after a request.
 *
 * @param server the address of the server
 */
export function countTrips({ hostname = "127.0.0.1", port }: { hostname?: string; port: number }): CountingProxy {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const open = new Set<Deno.Conn>();
  let trips = 0;

  async function forward(from: Deno.Conn, to: Deno.Conn, beforeWrite: () => void | Promise<void>): Promise<void> {
    const buffer = new Uint8Array(64 * 1024);
    try {
      for (let n = await from.read(buffer); n !== null; n = await from.read(buffer)) {
        await beforeWrite();
        for (let at = 0; at < n;) at += await to.write(buffer.subarray(at, n));
      }
    } catch {
      // One side was closed. The other is closed below.
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
    let awaitsAnswer = false;
    const onRequest = (): void => {
      if (!awaitsAnswer) trips++;
      awaitsAnswer = true;
    };
    const onAnswer = async (): Promise<void> => {
      if (!awaitsAnswer) return;
      await new Promise((resolve) => setTimeout(resolve, LATENCY_MS));
      awaitsAnswer = false;
    };
    await Promise.all([forward(client, upstream, onRequest), forward(upstream, client, onAnswer)]);
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
