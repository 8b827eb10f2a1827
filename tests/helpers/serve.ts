/** Starts an Alosaur application on a free port of 127.0.0.1, and stops it. */
import { Captured } from "./console.ts";

/** An application that `serve()` can start. */
export interface Listener {
  listen(address: string | Deno.ListenOptions): Promise<unknown>;
}

/** A complete response, and the errors that the server printed meanwhile. */
export interface Answer {
  status: number;
  headers: Headers;
  /** The `Set-Cookie` lines. */
  cookies: string[];
  text: string;
  /** The calls of `console.error`. */
  errors: unknown[];
}

/** A certificate and its key in PEM format. The certificate is valid for 127.0.0.1. */
export interface Tls {
  readonly cert: string;
  readonly key: string;
}

/** An application that is listening. */
export interface Served extends AsyncDisposable {
  /** The address, without a slash at the end. */
  url: string;
  /** The output of the application while it started. */
  started: string;
  /** Requests a path. Redirects are not followed. */
  request(path: string, init?: RequestInit): Promise<Answer>;
}

/**
 * Starts an application, with HTTPS if there is a certificate.
 *
 * Alosaur cannot stop listening and does not return its port. It serves with `Deno.serve`, so that
 * function is replaced while the application starts by one that keeps the server.
 */
export async function serve(app: Listener, tls?: Tls): Promise<Served> {
  const listening = Promise.withResolvers<void>();
  const servers: Deno.HttpServer<Deno.NetAddr>[] = [];
  const real = Deno.serve;
  replaceServe((options: Deno.ServeTcpOptions, handler: Deno.ServeHandler<Deno.NetAddr>) => {
    const onListen = (address: Deno.NetAddr): void => {
      options.onListen?.(address);
      listening.resolve();
    };
    const server = real({ ...options, onListen }, handler);
    servers.push(server);
    return server;
  });

  using log = new Captured("log");
  try {
    const options = { hostname: "127.0.0.1", port: 0, ...(tls && { cert: tls.cert, key: tls.key }) };
    await app.listen(options);
    await listening.promise;
  } finally {
    replaceServe(real);
  }
  const [server] = servers;
  if (!server) throw new Error("The application did not call Deno.serve()");

  const url = `${tls === undefined ? "http" : "https"}://127.0.0.1:${server.addr.port}`;
  const client = tls && Deno.createHttpClient({ caCerts: [tls.cert] });
  return {
    url,
    started: log.lines.map((line) => Deno.inspect(line)).join("\n"),
    async request(path, init): Promise<Answer> {
      using error = new Captured("error");
      using _warn = new Captured("warn");
      const response = await fetch(url + path, { redirect: "manual", client, ...init });
      const { status, headers } = response;
      const text = await response.text();
      return { status, headers, cookies: headers.getSetCookie(), text, errors: error.lines };
    },
    async [Symbol.asyncDispose](): Promise<void> {
      client?.close();
      await server.shutdown();
    },
  };
}

/** Returns the options that an application passes to `Deno.serve()`, without listening. */
export async function servedWith(listen: () => Promise<unknown>): Promise<Record<string, unknown>> {
  const calls: Record<string, unknown>[] = [];
  const real = Deno.serve;
  replaceServe((options: Record<string, unknown>) => {
    calls.push(options);
    return { finished: Promise.resolve() };
  });
  try {
    await listen();
  } finally {
    replaceServe(real);
  }
  const [{ onListen: _, ...options } = {}] = calls;
  return options;
}

function replaceServe(value: unknown): void {
  Object.defineProperty(Deno, "serve", { value, configurable: true, enumerable: true, writable: true });
}
