/** A proxy before a server, which fails as it is told. */

/** What it does with its clients: */
export type Fault =
  /** passes everything on, */
  | "none"
  /** hangs up on a client that sends something, */
  | "hang up"
  /** or lets everything from either side disappear, for connections of that time for ever. */
  | "swallow";

export interface FaultyProxy extends AsyncDisposable {
  readonly port: number;
  fault: Fault;
  /** How many clients have connected. */
  readonly clients: number;
  /** How many of them are still connected. */
  readonly open: number;
  /** Closes one of the connections, whatever is on its way. */
  cut(): void;
}

export function faultyProxy(server: { hostname?: string; port: number }): FaultyProxy {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const open = new Set<Deno.Conn>();
  let clients = 0;

  async function pass(from: Deno.Conn, to: Deno.Conn): Promise<void> {
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
      // One side has gone: so will the other.
    } finally {
      for (const end of [from, to]) if (open.delete(end)) end.close();
    }
  }

  async function serve(client: Deno.Conn): Promise<void> {
    clients++;
    open.add(client);
    const upstream = await Deno.connect(server);
    open.add(upstream);
    await Promise.all([pass(client, upstream), pass(upstream, client)]);
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
