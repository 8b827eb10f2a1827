/**
 * A simulated browser.
 *
 * @module
 */
import { SecurityContext } from "../../security_context.ts";
import type { Session } from "../../session.ts";
import type { SessionMiddleware } from "../../session_middleware.ts";

/** A request whose action is running. */
export interface OpenRequest {
  session: Session;
  /** Ends the request and stores the cookie of its response. */
  finish: () => Promise<void>;
}

/** A browser that sends requests through a middleware, with the cookie that it received last. */
export class Visitor {
  readonly middleware: SessionMiddleware;
  cookie: string | undefined;

  constructor(middleware: SessionMiddleware, cookie?: string) {
    this.middleware = middleware;
    this.cookie = cookie;
  }

  /** Returns a visitor who has a session with one value. */
  static async signUp(middleware: SessionMiddleware, key = "key", value: unknown = "value"): Promise<Visitor> {
    const visitor = new Visitor(middleware);
    await visitor.visit((session) => session.set(key, value));
    return visitor;
  }

  /** Returns a copy of this browser whose requests reach another server. */
  at(middleware: SessionMiddleware): Visitor {
    return new Visitor(middleware, this.cookie);
  }

  /** Sends a request and returns the result of its action. */
  async visit<T>(action: (session: Session) => T | Promise<T>): Promise<T> {
    const { session, finish } = await this.begin();
    const result = await action(session);
    await finish();
    return result;
  }

  /** Begins a request. */
  async begin(): Promise<OpenRequest> {
    const headers: HeadersInit = this.cookie === undefined ? {} : { cookie: this.cookie };
    const context = new SecurityContext(new Request("http://localhost/", { headers }));
    await this.middleware.onPreRequest(context);
    const finish = async (): Promise<void> => {
      await this.middleware.onPostRequest(context);
      for (const line of context.response.headers.getSetCookie()) {
        const [pair = ""] = line.split(";");
        this.cookie = pair.endsWith("=") ? undefined : pair;
      }
    };
    return { session: context.security.session, finish };
  }
}
