/**
 * A benchmark subject: an application with one session library, and the same one without sessions.
 *
 * @module
 */
import { inject } from "npm:light-my-request@6.8.1";
import type { RequestListener } from "node:http";

/**
 * A route of the measured application, at the path of the same name:
 * - `read` responds with the value `n` of the session, or with "none";
 * - `readWrite` increments `n` and responds with it;
 * - `write` sets `n` to 1 and responds with "1";
 * - `untouched` does not use the session and responds with "ok".
 *
 * Without sessions, `untouched` responds with "ok" and the others with "1".
 */
export type Action = "read" | "readWrite" | "write" | "untouched";

/** Whether the application has sessions. */
export type Side = "with" | "without";

/** A measured kind of request. */
export interface Case {
  title: string;
  /** The letter that stood for this case in earlier documents and results. */
  letter: string;
  action: Action;
  cookie: "valid" | "forged" | "no";
}

/** The measured kinds of request, by name. */
export const CASES = {
  read: { letter: "a", title: "valid cookie, one read", action: "read", cookie: "valid" },
  readWrite: { letter: "b", title: "valid cookie, one read and one write", action: "readWrite", cookie: "valid" },
  untouched: { letter: "c", title: "no cookie, untouched", action: "untouched", cookie: "no" },
  newSession: { letter: "d", title: "no cookie, one write", action: "write", cookie: "no" },
  forged: { letter: "e", title: "forged cookie, one read", action: "read", cookie: "forged" },
  knownUntouched: { letter: "f", title: "valid cookie, untouched", action: "untouched", cookie: "valid" },
} as const satisfies Record<string, Case>;

export type CaseName = keyof typeof CASES;

/** The names of all cases, in the order of tables. */
export const CASE_NAMES = Object.keys(CASES) as CaseName[];

/** Reads a comma-separated list of case names, as given on a command line. */
export function parseCaseNames(list: string): CaseName[] {
  return list.split(",").map((given) => {
    const name = CASE_NAMES.find((name) => name === given);
    if (name === undefined) {
      throw new RangeError(`Cannot measure "${given}": no such case; expected some of ${CASE_NAMES.join()}`);
    }
    return name;
  });
}

/** Explains the names of some cases, one per line. */
export function caseLegend(names: readonly CaseName[]): string {
  const width = Math.max(...names.map((name) => name.length));
  const lines = names.map((name) => `  ${name.padEnd(width)}  (${CASES[name].letter}) ${CASES[name].title}`);
  return ["Cases (the letter is the name in earlier results):", ...lines].join("\n");
}

/** A complete response. */
export interface ReceivedResponse {
  status: number;
  /** The values of the `Set-Cookie` headers. */
  cookies: string[];
  text: string;
}

/** Sends a prepared request. */
export type Send<R> = () => R | Promise<R>;

/** A session library that is measured. `R` is the response type of its framework. */
export interface Subject<R = unknown> {
  /** Prepares a request. Only the call of the returned function is timed. */
  prepare(side: Side, action: Action, cookie: string | undefined): Send<R>;
  statusOf(response: R): number;
  /** Reads the whole response. */
  receive(response: R): Promise<ReceivedResponse>;
  /** Deletes every session that is stored on the server. */
  clear(): void;
  /**
   * Stores more sessions. No client has their cookies.
   *
   * @param elsewhere whether to store them in a second store, which no request uses
   */
  fill?(sessions: number, elsewhere: boolean): Promise<void>;
  /** Whether the first request creates a session even if nothing is written. */
  isEager?: boolean;
}

type Handler = (request: Request) => Response | Promise<Response>;

/**
 * Creates a subject on a framework that turns a `Request` into a `Response`.
 *
 * @param prefixes the paths of the two sides, if one application serves both
 */
export function overFetch(
  sides: Record<Side, Handler>,
  clear: () => void,
  prefixes: Record<Side, string> = { with: "", without: "" },
): Subject<Response> {
  return {
    prepare(side, action, cookie): Send<Response> {
      const handler = sides[side];
      const url = `http://localhost${prefixes[side]}/${action}`;
      const request = new Request(url, cookie === undefined ? {} : { headers: { cookie } });
      return () => handler(request);
    },
    statusOf: (response) => response.status,
    receive: async (response) => ({
      status: response.status,
      cookies: response.headers.getSetCookie(),
      text: await response.text(),
    }),
    clear,
  };
}

/** The part of a light-my-request response that is read here. */
interface InjectedResponse {
  statusCode: number;
  headers: Record<string, number | string | string[] | undefined>;
  payload: string;
}

/** Creates a subject on a framework that handles the requests of `node:http`. */
export function overNode(sides: Record<Side, RequestListener>, clear: () => void): Subject<InjectedResponse> {
  return {
    prepare(side, action, cookie): Send<InjectedResponse> {
      const listener = sides[side];
      const headers: Record<string, string> = cookie === undefined ? {} : { cookie };
      const request = { method: "GET", url: `/${action}`, headers, validate: false };
      return () => inject(listener, request);
    },
    statusOf: (response) => response.statusCode,
    receive: ({ statusCode, headers, payload }) => {
      const cookies = headers["set-cookie"] ?? [];
      return Promise.resolve({
        status: statusCode,
        cookies: Array.isArray(cookies) ? cookies : [String(cookies)],
        text: payload,
      });
    },
    clear,
  };
}
