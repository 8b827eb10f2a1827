/**
 * Sign in, a page for members only, sign out, and a notice that is shown once.
 *
 * Every change is a POST. The session cookie is SameSite=Lax, so a browser does not send it with a POST that another site
 * makes: here that is the protection against cross-site request forgery. It does not cover signing in, which needs no cookie.
 *
 * @module
 */
import { ActionParam, type ActionResult, App, Area, Body, Controller, Ctx, Get, Post, Redirect } from "alosaur/mod.ts";
import { Context, MemoryStore, SecurityContext, type Session, SessionMiddleware } from "../../mod.ts";
import { field, type Html, html, page } from "../_page.ts";
import { listen, secret } from "../_server.ts";

/** For everybody. A real application looks the user up and checks a slow hash of the password. */
const PASSWORD = "open sesame";

/** What is in the session. `get("user")` is a string or undefined, and `get("usr")` does not compile. */
interface LoginData {
  user: string;
  notice: string;
}
type LoginContext = SecurityContext<unknown, LoginData>;

@Controller("")
class LoginController {
  @Get("/")
  @ActionParam(0, Ctx())
  async members(context: LoginContext): Promise<Response | ActionResult> {
    const { session } = context.security;
    const user = await session.get("user");
    if (user === undefined) return Redirect("/sign-in");

    return page(
      "Members only",
      html`
        ${await takeNotice(session)}
        <p>You are signed in as <strong id="user">${user}</strong>.</p>
        <form method="post" action="/sign-out"><button class="plain">Sign out</button></form>
      `,
    );
  }

  @Get("/sign-in")
  @ActionParam(0, Ctx())
  async signInForm(context: LoginContext): Promise<Response | ActionResult> {
    const { session } = context.security;
    if (await session.has("user")) return Redirect("/");

    return page(
      "Sign in",
      html`
        ${await takeNotice(session)}
        <p class="quiet">Any name will do. The password is <code>${PASSWORD}</code>.</p>
        <form method="post" action="/sign-in">
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
  async signIn(context: LoginContext, form: unknown): Promise<ActionResult> {
    const { session } = context.security;
    const user = field(form, "name").trim().slice(0, 100);
    if (user === "" || field(form, "password") !== PASSWORD) {
      await session.set("notice", "That name and password do not match.");
      return Redirect("/sign-in");
    }
    // A new id first: whoever knew the old one must not be signed in with it.
    await session.regenerate();
    await session.set("user", user);
    await session.set("notice", "You have signed in.");
    return Redirect("/");
  }

  @Post("/sign-out")
  @ActionParam(0, Ctx())
  async signOut(context: LoginContext): Promise<ActionResult> {
    const { session } = context.security;
    // `destroy()` would end it all, but after that nothing more can be written, and the notice needs a session.
    await session.delete("user");
    await session.regenerate();
    await session.set("notice", "You have signed out.");
    return Redirect("/sign-in");
  }
}

/** The notice that the request before this one left, and then no more. */
async function takeNotice(session: Session<LoginData>): Promise<Html | undefined> {
  const notice = await session.get("notice");
  if (notice === undefined) return undefined;
  await session.delete("notice");
  return html`
    <p class="notice" role="status">${notice}</p>
  `;
}

@Area({ controllers: [LoginController] })
class LoginArea {}

const store = new MemoryStore();
await store.init();

const app = new App({
  areas: [LoginArea],
  logging: false,
  providers: [{ token: Context, useClass: SecurityContext }],
});
app.use(/\//, new SessionMiddleware(store, { secret: secret() }));
await listen(app);
