/**
 * An application that `graceful_stop_test.ts` starts and stops: `POST /note` stores the body of the
 * request in the session. Its arguments are the file of the store, how long a stop waits for the
 * requests and for the store, in seconds, and what the store does when it is closed: `closes`,
 * `rejects` or `hangs`.
 *
 * @module
 */
import { ActionParam, App, Area, Body, Controller, Ctx, Post } from "alosaur/mod.ts";
import { SqliteStore } from "@alosaur/session/sqlite";
import { listen, secret } from "../../examples/_server.ts";
import { Context, SecurityContext, SessionMiddleware } from "../../mod.ts";

@Controller()
class NoteController {
  @Post("/note")
  @ActionParam(0, Ctx())
  @ActionParam(1, Body())
  async note({ security }: SecurityContext, note: unknown): Promise<string> {
    await security.session.set("note", note);
    return "stored";
  }
}

@Area({ controllers: [NoteController] })
class NoteArea {}

const [path = "", requests, limit, closing] = Deno.args;
const store = new SqliteStore(path);
await store.init();

async function close(): Promise<void> {
  await store[Symbol.asyncDispose]();
  if (closing === "rejects") throw new Error("the disk is full");
  if (closing === "hangs") await new Promise(() => {});
}

const app = new App({
  areas: [NoteArea],
  logging: false,
  providers: [{ token: Context, useClass: SecurityContext }],
});
app.use(/\//, new SessionMiddleware(store, { secret: secret() }));
app.use(/\//, {
  onPreRequest: () => console.log("a request has begun"),
  onPostRequest: () => {},
});
await listen(app, { [Symbol.asyncDispose]: close }, { requests: Number(requests), store: Number(limit) });
function onSignal(): void {
  Deno.removeSignalListener("SIGTERM", onSignal);
  console.log("the signal has arrived");
}
Deno.addSignalListener("SIGTERM", onSignal);
