/** What is measured: one way of keeping sessions, on its own framework, with and without. */
import { inject } from "npm:light-my-request@6.8.1";
import type { RequestListener } from "node:http";

/** A route. `read` answers with the value or "none", `both` counts it up, `write` makes it 1, `none` leaves the session alone. */
export type Action = "read" | "both" | "none" | "write";

/** Whether the application has sessions. */
export type Side = "with" | "without";

/** What is asked, with which cookie. */
export interface Case {
  title: string;
  action: Action;
  cookie: "valid" | "forged" | "no";
}

export const CASES = {
  a: { title: "valid cookie, one read", action: "read", cookie: "valid" },
  b: { title: "valid cookie, one read and one write", action: "both", cookie: "valid" },
  c: { title: "no cookie, untouched", action: "none", cookie: "no" },
  d: { title: "no cookie, one write", action: "write", cookie: "no" },
  e: { title: "forged cookie, one read", action: "read", cookie: "forged" },
  f: { title: "valid cookie, untouched", action: "none", cookie: "valid" },
} as const satisfies Record<string, Case>;

export type CaseName = keyof typeof CASES;

/** A response, whole. */
export interface Answer {
  status: number;
  /** The `Set-Cookie` headers, one each. */
  cookies: string[];
  text: string;
}

/** Sends a request that is ready. */
export type Send<R> = () => R | Promise<R>;

export interface Subject<R = unknown> {
  /** Makes a request; what it returns is what is timed. */
  prepare(side: Side, action: Action, cookie: string | undefined): Send<R>;
  statusOf(response: R): number;
  open(response: R): Promise<Answer>;
  /** Forgets every session, where they are kept here. */
  clear(): void;
  /** Keeps so many more sessions, whose cookies nobody has; or keeps them where no request looks. */
  fill?(sessions: number, aside: boolean): Promise<void>;
  /** A session begins with the first request, whether or not anything is written. */
  isEager?: boolean;
}

type Handler = (request: Request) => Response | Promise<Response>;

/** On a framework that turns a `Request` into a `Response`. `prefixes` lead to the two sides where one application has both. */
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
    open: async (response) => ({
      status: response.status,
      cookies: response.headers.getSetCookie(),
      text: await response.text(),
    }),
    clear,
  };
}

/** A response of light-my-request, as far as it is read here. */
interface Injected {
  statusCode: number;
  headers: Record<string, number | string | string[] | undefined>;
  payload: string;
}

/** On a framework that listens to Node's requests. */
export function overNode(sides: Record<Side, RequestListener>, clear: () => void): Subject<Injected> {
  return {
    prepare(side, action, cookie): Send<Injected> {
      const listener = sides[side];
      const headers: Record<string, string> = cookie === undefined ? {} : { cookie };
      const request = { method: "GET", url: `/${action}`, headers, validate: false };
      return () => inject(listener, request);
    },
    statusOf: (response) => response.statusCode,
    open: ({ statusCode, headers, payload }) => {
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
