/** A proxy in front of a server, for tests of network failures. */

/** How the proxy treats its clients. */
export type Fault =
  /** It forwards everything. */
  | "none"
  /** It closes the connection of a client that sends something. */
  | "hang up"
  /** It discards everything from either side. The connections that are affected stay so forever. */
  | "swallow";

/** A proxy that can fail. */
export interface FaultyProxy extends AsyncDisposable {
  /** The port on which it listens, on 127.0.0.1. */
  readonly port: number;
  /** The current fault; `"none"` at first. */
  fault: Fault;
  /** The number of clients that have connected. */
  readonly clients: number;
  /** The number of clients that are still connected. */
  readonly open: number;
  /** Closes a random connection without waiting for pending data. */
  cut(): void;
}

/** Starts a proxy in front of a server. */
export function faultyProxy(server: { hostname?: string; port: number }): FaultyProxy {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const open = new Set<Deno.Conn>();
  let clients = 0;

  async function forward(from: Deno.Conn, to: Deno.Conn): Promise<void> {
    const buffer = new Uint8Array(64 * 1024);
    let swallow = false;
    try {
      for (let n = await from.read(buffer); n !== null; n = await from.read(buffer)) {
        swallow ||= proxy.fault === "swallow";
        if (swallow) continue;
        if (proxy.fault === "hang up") break;
        for (let at = 0; at < n;) at += await to.write(buffer.subarray(at, n));
      }
    } catch {
      // One side was closed. The other is closed below.
    } finally {
      for (const end of [from, to]) if (open.delete(end)) end.close();
    }
  }

  async function serve(client: Deno.Conn): Promise<void> {
    clients++;
    open.add(client);
    const upstream = await Deno.connect(server).catch(() => undefined);
    if (upstream === undefined) {
      if (open.delete(client)) client.close();
      return;
    }
    open.add(upstream);
    await Promise.all([forward(client, upstream), forward(upstream, client)]);
  }

  const serving = (async () => {
    const all: Promise<void>[] = [];
    for await (const client of listener) all.push(serve(client));
    await Promise.all(all);
  })();

  const proxy: FaultyProxy = {
    port: listener.addr.port,
    fault: "none",
    get clients(): number {
      return clients;
    },
    get open(): number {
      return open.size / 2;
    },
    cut(): void {
      const all = [...open];
      const end = all[Math.floor(Math.random() * all.length)];
      if (end !== undefined && open.delete(end)) end.close();
    },
    async [Symbol.asyncDispose](): Promise<void> {
      listener.close();
      for (const end of open) end.close();
      open.clear();
      await serving;
    },
  };
  return proxy;
}
