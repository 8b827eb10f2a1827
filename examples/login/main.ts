/**
 * Sign-in with "remember me", a members-only page that lists the user's devices, a page that asks
 * for the password again, sign-out, and one-time notices.
 *
 * Every change is a POST request. `CsrfMiddleware` accepts it from this application's pages only.
 *
 * @module
 */
import { ActionParam, type ActionResult, App, Area, Body, Controller, Ctx, Get, Post, Redirect } from "alosaur/mod.ts";
import { UserAgent } from "jsr:@std/http@1.0.25/user-agent";
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

/** How long "remember me" keeps a user signed in, in seconds. */
const REMEMBERED_SECONDS = 30 * 24 * 60 * 60;

/** How long ago the password may have been entered for a sensitive page, in milliseconds. */
const FRESH_SIGN_IN_MS = 5 * 60 * 1000;

/**
 * The values of the session. `get("notice")` returns a string or undefined, and `get("notise")`
 * does not compile.
 */
interface LoginData {
  notice: string;
  recoveryCode: string;
}
type LoginContext = SecurityContext<unknown, LoginData>;
type LoginSession = Session<LoginData>;

const store = new MemoryStore();
await store.init();
const middleware = new SessionMiddleware(store, { secret: secret() });

@Controller("")
class LoginController {
  @Get("/")
  @ActionParam(0, Ctx())
  async members({ security: { session } }: LoginContext): Promise<Response | ActionResult> {
    const user = session.principal;
    if (user === undefined) return Redirect("/sign-in");

    // Records this visit, so that the list shows it as "last seen".
    await session.touch();
    const token = await tokenField(session);
    const devices = await middleware.sessions.list(user, { current: session.sessionId });
    return page(
      "Members only",
      html`
        ${await takeNotice(session)}
        <p>You are signed in as <strong id="user">${user}</strong>.</p>
        <form method="post" action="/sign-out">${token}<button>Sign out</button></form>
        <p><a href="/recovery-code">Show your recovery code</a></p>
        <h2>Your devices</h2>
        <p class="quiet">These devices are signed in to your account. Sign out those that you do not know.</p>
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
          <label class="choice"><input name="remember" type="checkbox" value="yes"> Remember me for 30 days</label>
          <button>Sign in</button>
        </form>
      `,
    );
  }

  @Post("/sign-in")
  @ActionParam(0, Ctx())
  @ActionParam(1, Body())
  async signIn({ security: { session }, request }: LoginContext, form: unknown): Promise<ActionResult> {
    const user = field(form, "name").trim().slice(0, 100).toWellFormed();
    if (user === "" || field(form, "password") !== PASSWORD) {
      await session.set("notice", "That name and password do not match.");
      return Redirect("/sign-in");
    }
    // The session gets a new id and its user atomically. A new id prevents session fixation,
    // because an attacker who knew the old id is not signed in.
    await session.regenerate({
      principal: user,
      // Not remembered: the cookie ends with the browser.
      maxAge: field(form, "remember") === "yes" ? REMEMBERED_SECONDS : null,
      label: deviceLabel(request.headers.get("user-agent")),
      set: { notice: "You have signed in." },
    });
    return Redirect("/");
  }

  @Get("/recovery-code")
  @ActionParam(0, Ctx())
  async recoveryCode({ security: { session } }: LoginContext): Promise<Response | ActionResult> {
    if (session.principal === undefined) return Redirect("/sign-in");
    if (!isFreshSignIn(session)) return Redirect("/confirm");

    const code = await session.update("recoveryCode", (code) => code ?? crypto.randomUUID());
    return page(
      "Recovery code",
      html`
        <p>Keep it somewhere safe: <code id="code">${code}</code></p>
        <p><a href="/">Back</a></p>
      `,
    );
  }

  @Get("/confirm")
  @ActionParam(0, Ctx())
  async confirmForm({ security: { session } }: LoginContext): Promise<Response | ActionResult> {
    if (session.principal === undefined) return Redirect("/sign-in");

    return page(
      "Confirm that it is you",
      html`
        ${await takeNotice(session)}
        <p>You signed in some time ago. Enter your password again to go on.</p>
        <form method="post" action="/confirm">
          ${await tokenField(session)}
          <label for="password">Password</label>
          <input id="password" name="password" type="password" required autocomplete="current-password">
          <button>Confirm</button>
        </form>
      `,
    );
  }

  @Post("/confirm")
  @ActionParam(0, Ctx())
  @ActionParam(1, Body())
  async confirm({ security: { session } }: LoginContext, form: unknown): Promise<ActionResult> {
    const user = session.principal;
    if (user === undefined) return Redirect("/sign-in");
    if (field(form, "password") !== PASSWORD) {
      await session.set("notice", "That password does not match.");
      return Redirect("/confirm");
    }
    // A sign-in of the same user: `signedInAt` is now, the label and `maxAge` stay.
    await session.regenerate({ principal: user });
    return Redirect("/recovery-code");
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
 * Signs out: deletes the values, ends "remember me", and changes the id, so that the old id is no
 * longer valid. `destroy()` would leave no session to store the notice in.
 */
async function signOut(session: LoginSession): Promise<ActionResult> {
  await session.clear();
  await session.regenerate({ set: { notice: "You have signed out." } });
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

/** Returns a name for the visitor's device, such as "Firefox on Linux". A client can send any text. */
function deviceLabel(userAgent: string | null): string {
  const { browser, os } = new UserAgent(userAgent?.slice(0, 512) ?? null);
  return `${browser.name ?? "An unknown browser"} on ${os.name ?? "an unknown system"}`.slice(0, 256).toWellFormed();
}

/** Returns whether the user has entered the password a short time ago. */
function isFreshSignIn({ signedInAt }: LoginSession): boolean {
  // The clock of another server may be ahead.
  return signedInAt !== undefined && Math.abs(Date.now() - signedInAt.getTime()) < FRESH_SIGN_IN_MS;
}

function deviceItem({ handle, label, signedInAt, lastSeenAt, expiresAt, current }: UserSession, token: Html): Html {
  return html`
    <li class="device">
      <div>
        <strong>${label}</strong> ${current ? html`<span class="badge">This device</span>` : undefined}
        <div class="quiet">Last seen ${time(lastSeenAt)}</div>
        <div class="quiet">Signed in ${time(signedInAt)}</div>
        <div class="quiet">Until ${time(expiresAt)}</div>
      </div>
      <form method="post" action="/devices/end">
        ${token}<input type="hidden" name="handle" value="${handle}">
        <button class="plain">Sign out<span class="unseen"> ${current ? "this device" : label}</span></button>
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
    response.result = page("Signed out", content, { status: error.httpCode });
  } else if (error instanceof SessionStoreError) {
    response.result = page("Not available", html`<p>Try again in a moment.</p>`, { status: error.httpCode });
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
await listen(app, store);
