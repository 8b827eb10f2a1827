/**
 * The secret, the port and the graceful stop of the examples. Not part of the package.
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

/** How long a stop waits, in seconds. Docker kills a process after ten. */
interface StopLimits {
  /** For the requests under way. */
  requests: number;
  /** For the store to close, after that. */
  store: number;
}

/** How to listen and to stop. */
interface ListenSettings extends StopLimits {
  hostname: string;
  /** The certificate and its key in PEM format, for HTTPS. */
  tls?: { cert: string; key: string };
}

const DEFAULTS: ListenSettings = {
  requests: 6,
  store: 2,
  // All interfaces, as with Alosaur's own `:8000`. The published port of a container would not
  // reach 127.0.0.1. The local network can reach the example too; use 127.0.0.1 to prevent that.
  hostname: "0.0.0.0",
};

/**
 * Serves the application on the port of the environment variable PORT, by default 8000. Port 0
 * means any free port. Stops gracefully when the process is told to.
 *
 * @param store the store to close at the end, if it can be closed
 * @returns the port
 */
export async function listen(
  app: App<unknown>,
  store?: AsyncDisposable,
  settings: Partial<ListenSettings> = {},
): Promise<number> {
  const { hostname, tls, ...limits } = { ...DEFAULTS, ...settings };
  const port = checkPort(hostname, Number(Deno.env.get("PORT") || 8000));
  // Alosaur passes these options on to `Deno.serve()`.
  const running = await serve(app, { hostname, port, ...(tls && { cert: tls.cert, key: tls.key }) });
  stopGracefully(running, store, limits);
  console.info(`Listening on ${tls === undefined ? "http" : "https"}://localhost:${port}/`);
  return port;
}

/** A server, and the requests that it has not answered yet. */
interface Running {
  server: Deno.HttpServer;
  requests: Set<Promise<Response>>;
}

/**
 * Calls `app.listen()` and returns the server. Alosaur calls `Deno.serve()` and drops the server
 * that it returns, so another function takes the place of `Deno.serve()` during that call.
 */
async function serve(app: App<unknown>, address: Deno.ListenOptions): Promise<Running> {
  const real = Deno.serve;
  const requests = new Set<Promise<Response>>();
  let server: Deno.HttpServer | undefined;
  Reflect.set(Deno, "serve", (options: Deno.ServeTcpOptions, handler: Deno.ServeHandler<Deno.NetAddr>) => {
    return server = real(options, (request, info) => {
      const response = Promise.try(handler, request, info);
      requests.add(response);
      const forget = (): void => void requests.delete(response);
      response.then(forget, forget);
      return response;
    });
  });
  try {
    await app.listen(address);
  } finally {
    Reflect.set(Deno, "serve", real);
  }
  if (server === undefined) throw new Error("Cannot serve: this Alosaur does not call Deno.serve()");
  return { server, requests };
}

/**
 * Stops on SIGTERM, which systemd, Docker and Kubernetes send, and on Ctrl+C: waits for the
 * requests under way and their writes, accepts no more connections and closes the store. A request
 * that takes longer than `limits.requests` is cut off.
 *
 * The exit code is 0. It is 1 if the store could not be closed, or not within `limits.store`.
 */
function stopGracefully({ server, requests }: Running, store: AsyncDisposable | undefined, limits: StopLimits): void {
  const signals: Deno.Signal[] = Deno.build.os === "windows" ? ["SIGINT"] : ["SIGINT", "SIGTERM"];
  const finish = async (): Promise<void> => {
    // shutdown() waits for actions and responses, but a body that has not arrived completely can no
    // longer be read after it (Deno 2.9.6). So it is called when every request is answered. Others
    // may begin meanwhile.
    while (requests.size > 0) await Promise.allSettled(requests);
    await server.shutdown();
  };
  const close = async (): Promise<void> => {
    await store?.[Symbol.asyncDispose]();
  };
  const stop = async (): Promise<void> => {
    // A second signal ends the process immediately.
    for (const signal of signals) Deno.removeSignalListener(signal, stop);
    await Promise.race([finish(), delay(limits.requests)]);
    const late = delay(limits.store).then(() => Promise.reject(new Error(`it takes more than ${limits.store} s`)));
    try {
      await Promise.race([close(), late]);
    } catch (error) {
      console.error(`Cannot close the store: ${error instanceof Error ? error.message : error}`);
      Deno.exit(1);
    }
    Deno.exit(0);
  };
  for (const signal of signals) Deno.addSignalListener(signal, stop);
}

function delay(seconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, seconds * 1000));
}

/**
 * Returns the port if it is free, or a free one for port 0; otherwise exits with a message. Alosaur
 * serves in the background, so the application could not catch the error.
 */
function checkPort(hostname: string, port: number): number {
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
