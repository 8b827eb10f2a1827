/**
 * koa-session over a `Map`, on Koa.
 *
 * @module
 */
import type { RequestListener } from "node:http";
import untypedKoa from "npm:koa@3.3.0";
import untypedSession from "npm:koa-session@7.0.2";
import { overNode, type Subject } from "./subject.ts";

interface Context {
  path: string;
  body: string;
  session: { n?: number };
}

type Middleware = (context: Context, next: () => Promise<void>) => void | Promise<void>;

interface Koa {
  keys: string[];
  use(middleware: Middleware): void;
  callback(): RequestListener;
}

const Koa = untypedKoa as unknown as new () => Koa;
const session = untypedSession as unknown as (options: Record<string, unknown>, app: Koa) => Middleware;

export function koaSession(): Subject {
  const sessions = new Map<string, unknown>();
  const store = {
    get: (id: string) => Promise.resolve(sessions.get(id)),
    set: (id: string, values: unknown) => Promise.resolve(void sessions.set(id, values)),
    destroy: (id: string) => Promise.resolve(void sessions.delete(id)),
  };
  const app = new Koa();
  app.keys = ["a secret of this benchmark"];
  app.use(session({ store, rolling: false, renew: false }, app));
  app.use((context) => {
    switch (context.path) {
      case "/read":
        context.body = String(context.session.n ?? "none");
        break;
      case "/readWrite":
        context.session.n = (context.session.n ?? 0) + 1;
        context.body = String(context.session.n);
        break;
      case "/write":
        context.session.n = 1;
        context.body = "1";
        break;
      default:
        context.body = "ok";
    }
  });

  const plain = new Koa();
  plain.use((_context, next) => next());
  plain.use((context) => {
    context.body = context.path === "/untouched" ? "ok" : "1";
  });
  return overNode({ with: app.callback(), without: plain.callback() }, () => sessions.clear());
}
