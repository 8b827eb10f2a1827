/**
 * express-session and cookie-session, on Express.
 *
 * @module
 */
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import untypedExpress from "npm:express@5.3.0";
import untypedSession from "npm:express-session@1.19.0";
import untypedCookieSession from "npm:cookie-session@2.1.1";
import { overNode, type Subject } from "./subject.ts";
import type { PeerStore } from "./fastify.ts";

type Next = (error?: unknown) => void;
type Middleware = (request: IncomingMessage, response: ServerResponse, next: Next) => void;

interface Request extends IncomingMessage {
  session: { n?: number };
}

interface Express extends RequestListener {
  use(middleware: Middleware): void;
  get(path: string, action: (request: Request, response: ServerResponse) => void): void;
}

/** The part of express-session's `MemoryStore` that is used here. */
export interface ExpressStore {
  sessions: Record<string, string>;
  set(id: string, session: unknown, done: () => void): void;
}

const express: () => Express = untypedExpress;
export const session: ((options: Record<string, unknown>) => Middleware) & {
  MemoryStore: new () => ExpressStore;
  Cookie: new (options: { maxAge: number }) => object;
} = untypedSession;
const cookieSession: (options: Record<string, unknown>) => Middleware = untypedCookieSession;

/** Creates the application on express-session. */
export function expressApp(store: PeerStore): RequestListener {
  return sessionPages(session({
    store,
    secret: "a secret of this benchmark",
    resave: false,
    saveUninitialized: false,
    cookie: { maxAge: 86_400_000 },
  }));
}

/** Creates the application without sessions. */
export function plainExpressApp(): RequestListener {
  const app = express();
  app.use((_request, _response, next) => next());
  for (const path of ["/read", "/readWrite", "/write"]) app.get(path, (_request, response) => void response.end("1"));
  app.get("/untouched", (_request, response) => void response.end("ok"));
  return app;
}

export function expressSession(): Subject {
  const store = new session.MemoryStore();
  return overNode({ with: expressApp(store), without: plainExpressApp() }, () => {
    store.sessions = Object.create(null);
  });
}

export function expressCookieSession(): Subject {
  const middleware = cookieSession({ name: "session", keys: ["a secret of this benchmark"] });
  return overNode({ with: sessionPages(middleware), without: plainExpressApp() }, () => {});
}

function sessionPages(middleware: Middleware): RequestListener {
  const app = express();
  app.use(middleware);
  app.get("/read", ({ session }, response) => void response.end(String(session.n ?? "none")));
  app.get("/readWrite", ({ session }, response) => {
    session.n = (session.n ?? 0) + 1;
    response.end(String(session.n));
  });
  app.get("/write", ({ session }, response) => {
    session.n = 1;
    response.end("1");
  });
  app.get("/untouched", (_request, response) => void response.end("ok"));
  return app;
}
