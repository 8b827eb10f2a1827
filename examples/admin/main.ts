/**
 * A page for an administrator: who is signed in, how many sessions there are, and buttons that end
 * the sessions of one user or of everybody.
 *
 * @module
 */
import {
  ActionParam,
  type ActionResult,
  App,
  Area,
  Body,
  Controller,
  Ctx,
  Get,
  Post,
  QueryParam,
  Redirect,
} from "alosaur/mod.ts";
import { Context, MemoryStore, SecurityContext, type Session, SessionGoneError, SessionMiddleware } from "../../mod.ts";
import { CsrfMiddleware } from "../../src/csrf_middleware.ts";
import { field, type Html, html, page } from "../_page.ts";
import { listen, secret } from "../_server.ts";

/** The password of every user. A real application checks a slow hash for each user instead. */
const PASSWORD = "open sesame";

/** The user who may see this page. A real application looks the role up, as it does the password. */
const ADMIN = "admin";

/** How many users one page shows. */
const USERS_PER_PAGE = 10;

const store = new MemoryStore();
await store.init();
const middleware = new SessionMiddleware(store, { secret: secret(), idleTimeout: 30 * 60 });

@Controller("")
class AdminController {
  @Get("/")
  @ActionParam(0, Ctx())
  @ActionParam(1, QueryParam("after"))
  async show({ security: { session } }: SecurityContext, after: unknown): Promise<Response | ActionResult> {
    const user = session.principal;
    if (user === undefined) return Redirect("/sign-in");
    const token = await tokenField(session);
    return page(
      user === ADMIN ? "Who is signed in" : "Welcome",
      html`
        <p>You are signed in as <strong id="user">${user}</strong>.</p>
        <form method="post" action="/sign-out">${token}<button>Sign out</button></form>
        ${user === ADMIN ? await overview(token, typeof after === "string" ? after : "") : undefined}
      `,
    );
  }

  @Get("/sign-in")
  @ActionParam(0, Ctx())
  async signInForm({ security: { session } }: SecurityContext): Promise<Response | ActionResult> {
    if (session.principal !== undefined) return Redirect("/");
    return page(
      "Sign in",
      html`
        <p class="quiet">
          Any name will do. The password is <code>${PASSWORD}</code>. The administrator is <code>${ADMIN}</code>.
        </p>
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
  async signIn({ security: { session } }: SecurityContext, form: unknown): Promise<ActionResult> {
    const user = field(form, "name").trim().slice(0, 100).toWellFormed();
    if (user === "" || field(form, "password") !== PASSWORD) return Redirect("/sign-in");
    await session.regenerate({ principal: user });
    return Redirect("/");
  }

  @Post("/sign-out")
  @ActionParam(0, Ctx())
  async signOut({ security: { session } }: SecurityContext): Promise<ActionResult> {
    await session.destroy();
    return Redirect("/sign-in");
  }

  @Post("/users/end")
  @ActionParam(0, Ctx())
  @ActionParam(1, Body())
  async endUser({ security: { session } }: SecurityContext, form: unknown): Promise<Response | ActionResult> {
    if (session.principal !== ADMIN) return notAllowed();
    const user = field(form, "user").toWellFormed();
    // The administrator keeps the session of this browser.
    if (user !== "") await middleware.sessions.revokeAll(user, { except: session.sessionId });
    return Redirect("/");
  }

  @Post("/everybody/end")
  @ActionParam(0, Ctx())
  async endEverybody({ security: { session } }: SecurityContext): Promise<Response> {
    if (session.principal !== ADMIN) return notAllowed();
    // The session of this request ends too, so this action must not write to it any more.
    await middleware.sessions.revokeEverybody();
    return page("Everybody is signed out", html`<p>So are you. <a href="/sign-in">Sign in again</a>.</p>`);
  }
}

/** Shows how many sessions there are, and a page of the users. */
async function overview(token: Html, after: string): Promise<Html> {
  const { total, signedIn } = await middleware.sessions.count();
  // The address comes from the client. An empty or malformed name shows the first page.
  const start = after !== "" && after.length <= 100 && after.isWellFormed() ? after : undefined;
  const { users, next } = await middleware.sessions.users({ after: start, limit: USERS_PER_PAGE });
  return html`
    <h2>Users</h2>
    <p id="count">${total} sessions, ${signedIn} of them signed in.</p>
    <ul id="users">${users.map(({ principal, sessions }) => userItem(principal, sessions, token))}</ul>
    ${next === undefined ? undefined : html`<p><a href="/?after=${encodeURIComponent(next)}">More users</a></p>`}
    <form method="post" action="/everybody/end">${token}<button class="plain">Sign everybody out</button></form>
  `;
}

function userItem(user: string, sessions: number, token: Html): Html {
  return html`
    <li class="device">
      <div>
        <strong>${user}</strong>
        <div class="quiet">${sessions === 1 ? "1 session" : `${sessions} sessions`}</div>
      </div>
      <form method="post" action="/users/end">
        ${token}<input type="hidden" name="user" value="${user}">
        <button class="plain">Sign out<span class="unseen"> ${user}</span></button>
      </form>
    </li>
  `;
}

/** Returns the form field that carries the CSRF token. */
async function tokenField(session: Session): Promise<Html> {
  return html`<input type="hidden" name="_csrf" value="${await session.csrfToken()}">`;
}

function notAllowed(): Response {
  return page("Not allowed", html`<p>Only the administrator may do this.</p>`, { status: 403 });
}

/** Answers a request whose session the administrator has ended in the meantime. */
function showErrorPage({ response }: Context, error: Error): void {
  if (!(error instanceof SessionGoneError)) return;
  const content = html`<p>Your session has ended. <a href="/sign-in">Sign in again</a>.</p>`;
  response.result = page("Signed out", content, { status: error.httpCode });
  response.setImmediately();
}

@Area({ controllers: [AdminController] })
class AdminArea {}

const app = new App({
  areas: [AdminArea],
  logging: false,
  providers: [{ token: Context, useClass: SecurityContext }],
});
app.use(/\//, middleware);
app.use(/\//, new CsrfMiddleware());
app.error(showErrorPage);
await listen(app, store);
