/**
 * Sign-in, a members-only page that lists the user's devices, sign-out, and one-time notices.
 *
 * Every change is a POST request. `CsrfMiddleware` accepts it from this application's pages only.
 *
 * @module
 */
import { ActionParam, type ActionResult, App, Area, Body, Controller, Ctx, Get, Post, Redirect } from "alosaur/mod.ts";
import {
  Context,
  MemoryStore,
  SecurityContext,
  type Session,
  SessionGoneError,
  SessionMiddleware,
  SessionStoreError,
  type UserSession,
} from "../../mod.ts";
import { CsrfMiddleware } from "../../src/csrf_middleware.ts";
import { field, type Html, html, page } from "../_page.ts";
import { listen, secret } from "../_server.ts";

/** The password of every user. A real application checks a slow hash for each user instead. */
const PASSWORD = "open sesame";

/**
 * The values of the session. `get("notice")` returns a string or undefined, and `get("notise")`
 * does not compile.
 */
interface LoginData {
  notice: string;
}
type LoginContext = SecurityContext<unknown, LoginData>;
type LoginSession = Session<LoginData>;

const store = new MemoryStore();
await store.init();
const middleware = new SessionMiddleware(store, {
  secret: secret(),
  // In seconds. The idle timeout makes the middleware record activity, here every three minutes.
  // The page shows the recorded time as "last seen".
  idleTimeout: 30 * 60,
  absoluteTimeout: 12 * 60 * 60,
});

@Controller("")
class LoginController {
  @Get("/")
  @ActionParam(0, Ctx())
  async members({ security: { session } }: LoginContext): Promise<Response | ActionResult> {
    const user = session.principal;
    if (user === undefined) return Redirect("/sign-in");

    const token = await tokenField(session);
    const devices = await middleware.sessions.list(user, { current: session.sessionId });
    return page(
      "Members only",
      html`
        ${await takeNotice(session)}
        <p>You are signed in as <strong id="user">${user}</strong>.</p>
        <form method="post" action="/sign-out">${token}<button>Sign out</button></form>
        <h2>Your devices</h2>
        <ul id="devices">${devices.map((device) => deviceItem(device, token))}</ul>
        ${devices.length > 1
          ? html`
            <form method="post" action="/devices/end-others">
              ${token}<button class="plain">Sign out everywhere else</button>
            </form>
          `
          : undefined}
      `,
    );
  }

  @Get("/sign-in")
  @ActionParam(0, Ctx())
  async signInForm({ security: { session } }: LoginContext): Promise<Response | ActionResult> {
    if (session.principal !== undefined) return Redirect("/");

    return page(
      "Sign in",
      html`
        ${await takeNotice(session)}
        <p class="quiet">Any name will do. The password is <code>${PASSWORD}</code>.</p>
        <form method="post" action="/sign-in">
          ${await tokenField(session)}
          <label for="name">Name</label>
          <input id="name" name="name" required maxlength="100" autocomplete="username">
          <label for="password">Password</label>
          <input id="password" name="password" type="password" required autocomplete="current-password">
          <button>Sign in</button>
        </form>
      `,
    );
  }

  @Post("/sign-in")
  @ActionParam(0, Ctx())
  @ActionParam(1, Body())
  async signIn({ security: { session } }: LoginContext, form: unknown): Promise<ActionResult> {
    const user = field(form, "name").trim().slice(0, 100).toWellFormed();
    if (user === "" || field(form, "password") !== PASSWORD) {
      await session.set("notice", "That name and password do not match.");
      return Redirect("/sign-in");
    }
    // The session gets a new id and its user atomically. A new id prevents session fixation,
    // because an attacker who knew the old id is not signed in.
    await session.regenerate({ principal: user });
    await session.set("notice", "You have signed in.");
    return Redirect("/");
  }

  @Post("/sign-out")
  @ActionParam(0, Ctx())
  async signOut({ security: { session } }: LoginContext): Promise<ActionResult> {
    return await signOut(session);
  }

  @Post("/devices/end")
  @ActionParam(0, Ctx())
  @ActionParam(1, Body())
  async endDevice({ security: { session } }: LoginContext, form: unknown): Promise<ActionResult> {
    const user = session.principal;
    if (user === undefined) return Redirect("/sign-in");

    const handle = field(form, "handle");
    const devices = await middleware.sessions.list(user, { current: session.sessionId });
    if (devices.some((device) => device.current && device.handle === handle)) return await signOut(session);
    // revoke() ignores the handle of another user's session.
    const ended = await middleware.sessions.revoke(user, handle);
    await session.set("notice", ended ? "That device has been signed out." : "That device was signed out already.");
    return Redirect("/");
  }

  @Post("/devices/end-others")
  @ActionParam(0, Ctx())
  async endOtherDevices({ security: { session } }: LoginContext): Promise<ActionResult> {
    const user = session.principal;
    if (user === undefined) return Redirect("/sign-in");

    await middleware.sessions.revokeAll(user, { except: session.sessionId });
    await session.set("notice", "You have been signed out everywhere else.");
    return Redirect("/");
  }
}

/**
 * Signs out: deletes the values and changes the id, so that the old id is no longer valid.
 * `destroy()` would leave no session to store the notice in.
 */
async function signOut(session: LoginSession): Promise<ActionResult> {
  await session.clear();
  await session.regenerate();
  await session.set("notice", "You have signed out.");
  return Redirect("/sign-in");
}

/** Returns the notice that the previous request stored, and deletes it. */
async function takeNotice(session: LoginSession): Promise<Html | undefined> {
  const notice = await session.take("notice");
  return notice === undefined ? undefined : html`<p class="notice" role="status">${notice}</p>`;
}

/**
 * Returns the form field that carries the CSRF token. `CsrfMiddleware` checks it if the client
 * sends no header that names the origin of the request; current browsers send one.
 */
async function tokenField(session: LoginSession): Promise<Html> {
  return html`<input type="hidden" name="_csrf" value="${await session.csrfToken()}">`;
}

function deviceItem({ handle, createdAt, lastSeenAt, current }: UserSession, token: Html): Html {
  return html`
    <li class="device">
      <div>
        <strong>${current ? "This device" : "Another device"}</strong>
        <div class="quiet">Since ${time(createdAt)}</div>
        <div class="quiet">Last seen ${time(lastSeenAt)}</div>
      </div>
      <form method="post" action="/devices/end">
        ${token}<input type="hidden" name="handle" value="${handle}">
        <button class="plain">Sign out<span class="unseen"> ${current ? "this device" : "that device"}</span></button>
      </form>
    </li>
  `;
}

function time(date: Date): Html {
  const iso = date.toISOString();
  return html`<time datetime="${iso}">${iso.slice(0, 10)} ${iso.slice(11, 16)} UTC</time>`;
}

/**
 * Answers the errors that a visitor can meet without a fault in this program: the session was ended
 * from another device while the request ran, or the store failed.
 */
function showErrorPage({ response }: Context, error: Error): void {
  if (error instanceof SessionGoneError) {
    const content = html`<p>Your session has ended. <a href="/sign-in">Sign in again</a>.</p>`;
    response.result = page("Signed out", content, error.httpCode);
  } else if (error instanceof SessionStoreError) {
    response.result = page("Not available", html`<p>Try again in a moment.</p>`, error.httpCode);
  } else return;
  // Without this, Alosaur answers with `{}`, and without the session cookie.
  response.setImmediately();
}

@Area({ controllers: [LoginController] })
class LoginArea {}

const app = new App({
  areas: [LoginArea],
  logging: false,
  providers: [{ token: Context, useClass: SecurityContext }],
});
app.use(/\//, middleware);
app.use(/\//, new CsrfMiddleware());
app.error(showErrorPage);
await listen(app);
