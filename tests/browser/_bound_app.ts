/**
 * An application with device-bound sessions that does what `examples/bound` does not: its store can
 * fail, its endpoint can wait, and it has a WebSocket and an event stream.
 *
 * @module
 */
import { ActionParam, App, Area, Controller, Ctx, Get, QueryParam } from "alosaur/mod.ts";
import { DeviceBoundMiddleware } from "@alosaur/session/dbsc";
import { type Certificate, makeCertificate } from "../../examples/bound/certificate.ts";
import {
  Context,
  MemoryStore,
  SecurityContext,
  type Session,
  type SessionEvent,
  SessionMiddleware,
} from "../../mod.ts";
import { SECRET } from "../helpers/request.ts";
import { type Probe, probe, working } from "../helpers/stores.ts";

const ENDPOINT = "/.session/device";

/** An application, and what it does. */
export interface BoundApp {
  readonly app: App<unknown>;
  readonly certificate: Certificate;
  /** Makes the store fail. */
  readonly probe: Probe;
  /** Makes the endpoint wait before it reads a request. */
  beforeEndpoint: () => void | Promise<void>;
  /** Makes the endpoint wait before it sends its response. */
  afterEndpoint: () => void | Promise<void>;
  /** Returns the requests since the last call, such as `"GET /page"`, in the order of their arrival. */
  takeRequests(): string[];
  /** Returns the types of the events since the last call. */
  takeEvents(): SessionEvent["type"][];
}

@Controller("")
class Pages {
  @Get("/page")
  @ActionParam(0, Ctx())
  page({ security: { session } }: SecurityContext): Response {
    return show(describe(session));
  }

  @Get("/sign-in")
  @ActionParam(0, Ctx())
  @ActionParam(1, QueryParam("name"))
  async signIn({ security: { session } }: SecurityContext, name: unknown): Promise<Response> {
    await session.regenerate({ principal: String(name) });
    return show("signed in");
  }

  @Get("/sign-out")
  @ActionParam(0, Ctx())
  async signOut({ security: { session } }: SecurityContext): Promise<Response> {
    await session.destroy();
    return show("signed out");
  }

  @Get("/sign-out-and-clear")
  @ActionParam(0, Ctx())
  async signOutAndClear({ security: { session } }: SecurityContext): Promise<Response> {
    await session.destroy();
    return show("signed out", { "clear-site-data": '"storage"' });
  }

  @Get("/regenerate")
  @ActionParam(0, Ctx())
  async regenerate({ security: { session } }: SecurityContext): Promise<Response> {
    await session.regenerate();
    return show(describe(session));
  }

  @Get("/stream")
  @ActionParam(0, Ctx())
  stream({ security: { session } }: SecurityContext): Response {
    return new Response(`data: ${describe(session)}\n\n`, {
      headers: { "content-type": "text/event-stream", "cache-control": "no-store" },
    });
  }

  @Get("/socket")
  @ActionParam(0, Ctx())
  socket({ request: { serverRequest }, security: { session } }: SecurityContext): Response {
    const text = describe(session);
    const { socket, response } = Deno.upgradeWebSocket(serverRequest);
    socket.onopen = () => socket.send(text);
    return response;
  }
}

@Area({ controllers: [Pages] })
class PagesArea {}

function describe({ principal, device }: Session): string {
  return `${principal ?? "nobody"}, ${device === undefined ? "not bound" : "bound"}`;
}

function show(text: string, headers: Record<string, string> = {}): Response {
  return new Response(`<!DOCTYPE html><title>${text}</title><link rel="icon" href="data:,"><p>${text}</p>`, {
    headers: { "content-type": "text/html; charset=utf-8", "cache-control": "no-store", ...headers },
  });
}

/** Creates the application. A process can have only one. Ids are renewed after half an hour. */
export async function createBoundApp(): Promise<BoundApp> {
  const { store, probe: seen } = probe(new MemoryStore());
  const requests: string[] = [];
  const events: SessionEvent["type"][] = [];
  const sessions = new SessionMiddleware(store, {
    secret: SECRET,
    maxAge: 8 * 60 * 60,
    renewalTimeout: 30 * 60,
    onEvent: ({ type }) => void events.push(type),
  });
  const devices = new DeviceBoundMiddleware(sessions);
  const app = new App({
    areas: [PagesArea],
    logging: false,
    providers: [{ token: Context, useClass: SecurityContext }],
  });
  const bound: BoundApp = {
    app,
    certificate: await makeCertificate(),
    probe: seen,
    beforeEndpoint: working,
    afterEndpoint: working,
    takeRequests: () => requests.splice(0),
    takeEvents: () => events.splice(0),
  };
  app.use(/\//, {
    onPreRequest: async ({ request }) => {
      const path = request.parserUrl.pathname;
      requests.push(`${request.method} ${path}`);
      if (path === ENDPOINT) await bound.beforeEndpoint();
    },
    onPostRequest: () => {},
  });
  app.use(/\//, sessions);
  app.use(/\//, {
    onPreRequest: async (context) => {
      const response = await devices.onPreRequest(context);
      if (context.request.parserUrl.pathname === ENDPOINT) await bound.afterEndpoint();
      return response;
    },
    onPostRequest: (context) => devices.onPostRequest(context),
  });
  return bound;
}
