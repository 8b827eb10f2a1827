/**
 * Sessions that are bound to the device, on https with a certificate that this program makes
 * itself. A button plays a thief who has copied the cookies.
 *
 * @module
 */
import { setTimeout } from "node:timers/promises";
import { ActionParam, type ActionResult, App, Area, Body, Controller, Ctx, Get, Post, Redirect } from "alosaur/mod.ts";
import { UserAgent } from "jsr:@std/http@1.0.25/user-agent";
import { Context, MemoryStore, SecurityContext, type Session, SessionMiddleware, type UserSession } from "../../mod.ts";
import { CsrfMiddleware } from "../../src/csrf_middleware.ts";
import { DeviceBoundMiddleware } from "../../src/device_bound_middleware.ts";
import { field, type Html, html, page } from "../_page.ts";
import { listen, secret } from "../_server.ts";
import { makeCertificate } from "./certificate.ts";

/** The name of the session cookie. */
const COOKIE = "sid";

/** How long the page waits after the sign-in for the browser to create its key, in milliseconds. */
const REGISTRATION_MS = 5000;

/**
 * How long the session cookie alone is accepted after the binding, in milliseconds. Requests that
 * the browser has sent just before may still be on their way.
 */
const BINDING_GRACE_MS = 5000;

const BOUND_LOOT = "With both cookies, the thief is in until the bound cookie expires, in ten minutes at most. " +
  "Only your browser can get a new one.";

/** The address of this server for the thief. The certificate is valid for it too. */
const hostname = "127.0.0.1";

const store = new MemoryStore();
await store.init();
const middleware = new SessionMiddleware(store, { secret: secret(), name: COOKIE, maxAge: 8 * 60 * 60 });
const certificate = await makeCertificate();
/** Trusts the certificate of this program, and otherwise verifies as usual. */
const client = Deno.createHttpClient({ caCerts: [certificate.cert] });

@Controller("")
class BoundController {
  @Get("/")
  @ActionParam(0, Ctx())
  async index({ security: { session } }: SecurityContext): Promise<Response> {
    const user = session.principal;
    const token = html`<input type="hidden" name="_csrf" value="${await session.csrfToken()}">`;
    if (user === undefined) {
      return page(
        "Sign in",
        html`
          <p class="quiet">Any name will do.</p>
          <form method="post" action="/sign-in">
            ${token}
            <label for="name">Name</label>
            <input id="name" name="name" required maxlength="100" autocomplete="username">
            <button>Sign in</button>
          </form>
        `,
      );
    }
    const sessions = await middleware.sessions.list(user, { current: session.sessionId });
    const response = page(
      "Your session",
      html`
        <p>You are signed in as <strong id="user">${user}</strong>.</p>
        <p class="notice" role="status">${binding(session)}</p>
        <form method="post" action="/thief">${token}<button>Play the thief</button></form>
        <form method="post" action="/sign-out">${token}<button class="plain">Sign out</button></form>
        <h2>Your sessions</h2>
        <ul id="sessions">${sessions.map(sessionItem)}</ul>
      `,
    );
    if (isRegistering(session)) response.headers.set("refresh", "1");
    return response;
  }

  @Post("/sign-in")
  @ActionParam(0, Ctx())
  @ActionParam(1, Body())
  async signIn({ security: { session }, request }: SecurityContext, form: unknown): Promise<ActionResult> {
    const user = field(form, "name").trim().slice(0, 100).toWellFormed();
    // The response offers the browser to bind the session.
    if (user !== "") await session.regenerate({ principal: user, label: labelOf(request.headers.get("user-agent")) });
    return Redirect("/");
  }

  @Post("/sign-out")
  @ActionParam(0, Ctx())
  async signOut({ security: { session } }: SecurityContext): Promise<ActionResult> {
    await session.destroy();
    return Redirect("/");
  }

  @Post("/thief")
  @ActionParam(0, Ctx())
  async thief({ request, security: { session } }: SecurityContext): Promise<Response | ActionResult> {
    if (session.principal === undefined) return Redirect("/");

    if (session.device !== undefined) {
      const graceUntil = session.device.boundAt.getTime() + BINDING_GRACE_MS;
      await setTimeout(Math.max(0, graceUntil - Date.now()));
    }
    const copied = request.headers.get("cookie") ?? "";
    const sessionCookie = copied.split("; ").filter((pair) => pair.startsWith(`${COOKIE}=`)).join();
    return page(
      "What the thief gets",
      html`
        <p>This server has just sent requests to itself, with copies of your cookies.</p>
        <dl>
          <dt>Session cookie</dt>
          <dd id="one">${await steal(sessionCookie)}</dd>
          ${session.device && html`
            <dt>Both cookies</dt>
            <dd id="both">${await steal(copied)}</dd>
          `}
        </dl>
        <p>${session.device
          ? BOUND_LOOT
          : "Your session is not bound, so the session cookie is all that a thief needs."}</p>
        <p><a href="/">Back</a></p>
      `,
    );
  }
}

/** Requests the first page with a copied Cookie header, as a thief does from another device. */
async function steal(cookie: string): Promise<string> {
  const response = await fetch(`https://${hostname}:${port}/`, { client, headers: { cookie } });
  await response.body?.cancel();
  return response.ok ? `${response.status}: your page` : `${response.status}: refused`;
}

/** Returns whether the browser may be about to create its key. */
function isRegistering({ device, signedInAt }: Session): boolean {
  return device === undefined && signedInAt !== undefined && Date.now() < signedInAt.getTime() + REGISTRATION_MS;
}

function binding(session: Session): Html {
  const { device } = session;
  if (device !== undefined) {
    return html`This session is bound to this device since ${time(device.boundAt)}, with ${device.algorithm}.`;
  }
  if (isRegistering(session)) return html`This session is not bound yet. The browser may be creating its key.`;
  return html`
    This session is not bound, because your browser does not support it or does not trust the certificate. The
    session works as usual.
  `;
}

function sessionItem({ label, signedInAt, current, device }: UserSession): Html {
  return html`
    <li>
      <strong>${label}</strong> ${current ? html`<span class="badge">This session</span>` : undefined}
      <div class="quiet">Signed in ${time(signedInAt)}</div>
      <div class="quiet">${device ? html`Bound ${time(device.boundAt)} with ${device.algorithm}` : "Not bound"}</div>
    </li>
  `;
}

function time(date: Date): Html {
  const iso = date.toISOString();
  return html`<time datetime="${iso}">${iso.slice(0, 10)} ${iso.slice(11, 19)} UTC</time>`;
}

/** Returns a name for the visitor's browser. A client can send any text. */
function labelOf(userAgent: string | null): string {
  const { browser, os } = new UserAgent(userAgent?.slice(0, 512) ?? null);
  return `${browser.name ?? "An unknown browser"} on ${os.name ?? "an unknown system"}`.slice(0, 256).toWellFormed();
}

@Area({ controllers: [BoundController] })
class BoundArea {}

const app = new App({
  areas: [BoundArea],
  logging: false,
  providers: [{ token: Context, useClass: SecurityContext }],
});
app.use(/\//, middleware);
app.use(/\//, new DeviceBoundMiddleware(middleware));
app.use(/\//, new CsrfMiddleware());
const port = await listen(app, store, { hostname, tls: certificate });
console.info(`Start Chromium with ${certificate.chromiumFlag} and the flags of the README`);
