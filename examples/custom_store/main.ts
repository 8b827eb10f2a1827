/**
 * A list of notes, in a session that is stored in a file. The session survives a restart of the
 * server and of the browser.
 *
 * @module
 */
import { ActionParam, type ActionResult, App, Area, Body, Controller, Ctx, Get, Post, Redirect } from "alosaur/mod.ts";
import { Context, SecurityContext, SessionMiddleware } from "../../mod.ts";
import { field, html, page } from "../_page.ts";
import { listen, secret } from "../_server.ts";
import { jsonFileStore } from "./json_file_store.ts";

const addForm = html`
  <form method="post" action="/add">
    <label for="note">New note</label>
    <input id="note" name="note" required maxlength="200" autocomplete="off">
    <button>Add</button>
  </form>
`;

@Controller("")
class NotesController {
  @Get("/")
  @ActionParam(0, Ctx())
  async show(context: SecurityContext): Promise<Response> {
    const { session } = context.security;
    const notes = await session.get<string[]>("notes", []);
    if (notes.length === 0) return page("Notes", html`<p>No notes yet.</p>${addForm}`);

    return page(
      "Notes",
      html`
        <ul id="notes">${notes.map((note) => html`<li>${note}</li>`)}</ul>
        ${addForm}
        <p class="quiet">
          Kept until <time datetime="${session.expiresAt?.toISOString()}">${session.expiresAt?.toUTCString()}</time>.
        </p>
        <form method="post" action="/clear"><button class="plain">Delete all notes</button></form>
      `,
    );
  }

  @Post("/add")
  @ActionParam(0, Ctx())
  @ActionParam(1, Body())
  async add(context: SecurityContext, form: unknown): Promise<ActionResult> {
    const note = field(form, "note").trim().slice(0, 200);
    // update() is atomic, so that no note is lost if two are added concurrently.
    if (note !== "") {
      await context.security.session.update<string[]>("notes", (notes = []) => [...notes, note].slice(-50));
    }
    return Redirect("/");
  }

  @Post("/clear")
  @ActionParam(0, Ctx())
  async clear(context: SecurityContext): Promise<ActionResult> {
    await context.security.session.destroy();
    return Redirect("/");
  }
}

@Area({ controllers: [NotesController] })
class NotesArea {}

const store = jsonFileStore(Deno.env.get("SESSION_DIR") || `${import.meta.dirname}/sessions`);
await store.init();

const app = new App({
  areas: [NotesArea],
  logging: false,
  providers: [{ token: Context, useClass: SecurityContext }],
});
// Thirty days, in seconds. `maxAge` limits both the cookie and the session on the server.
app.use(/\//, new SessionMiddleware(store, { secret: secret(), maxAge: 30 * 24 * 60 * 60 }));
await listen(app);
