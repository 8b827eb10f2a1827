/** The page that the README shows for the errors of a session, over HTTP. */
import { ActionParam, App, Area, Controller, Ctx, Get, type HttpContext } from "alosaur/mod.ts";
import { assertEquals } from "../helpers/assert.ts";
import { onlyCookie, SECRET } from "../helpers/request.ts";
import { serve } from "../helpers/serve.ts";
import { probe, working } from "../helpers/stores.ts";
import {
  Context,
  MemoryStore,
  SecurityContext,
  SessionGoneError,
  SessionMiddleware,
  SessionStoreError,
} from "../../mod.ts";

@Controller("")
class Pages {
  @Get("/set")
  @ActionParam(0, Ctx())
  async set({ security: { session } }: SecurityContext): Promise<string> {
    await session.set("a", 1);
    return "set";
  }

  @Get("/ended")
  @ActionParam(0, Ctx())
  async ended({ security: { session } }: SecurityContext): Promise<string> {
    await session.store.delete(session.sessionId);
    await session.set("a", 2);
    return "set";
  }

  @Get("/set-twice")
  @ActionParam(0, Ctx())
  async setTwice({ security: { session } }: SecurityContext): Promise<string> {
    await session.set("a", 1);
    await session.set("b", "down");
    return "set";
  }

  @Get("/broken")
  broken(): never {
    throw new Error("broken");
  }
}

@Area({ controllers: [Pages] })
class PagesArea {}

const { store, probe: seen } = probe(new MemoryStore());
const app = new App({
  areas: [PagesArea],
  logging: false,
  providers: [{ token: Context, useClass: SecurityContext }],
});
app.use(/\//, new SessionMiddleware(store, { secret: SECRET }));
app.error(({ response }: HttpContext, error: Error) => {
  let sentence: string;
  if (error instanceof SessionGoneError) sentence = "Your session has ended. Sign in again.";
  else if (error instanceof SessionStoreError) sentence = "Try again in a moment.";
  else return;
  response.result = new Response(sentence, { status: error.httpCode });
  response.setImmediately();
});

Deno.test("app.error() answers the errors of a session with a page", async (t) => {
  await using served = await serve(app);
  const { name, value } = onlyCookie((await served.request("/set")).headers);
  const headers = { cookie: `${name}=${value}` };

  await t.step("if the store cannot look up the session, with 503", async () => {
    seen.before = () => {
      throw new Error("down");
    };
    const answer = await served.request("/set", { headers });
    seen.before = working;
    assertEquals([answer.status, answer.text], [503, "Try again in a moment."]);
    assertEquals([answer.cookies, answer.errors], [[], []]);
  });

  await t.step("if a write fails, with 503 and the cookie of an earlier write", async () => {
    seen.before = (_, args) => {
      if (args.includes("down")) throw new Error("down");
    };
    const answer = await served.request("/set-twice");
    seen.before = working;
    assertEquals([answer.status, answer.text], [503, "Try again in a moment."]);
    const { name, value } = onlyCookie(answer.headers);
    assertEquals((await served.request("/set", { headers: { cookie: `${name}=${value}` } })).text, "set");
  });

  await t.step("if the session was ended meanwhile, with 409", async () => {
    const answer = await served.request("/ended", { headers });
    assertEquals([answer.status, answer.text], [409, "Your session has ended. Sign in again."]);
    assertEquals(answer.errors, []);
  });

  await t.step("and leaves any other error to Alosaur", async () => {
    const answer = await served.request("/broken");
    assertEquals([answer.status, answer.text], [500, "{}"]);
  });
});
