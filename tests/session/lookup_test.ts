/** Which session a request gets. */
import { assert, assertEquals, assertRejects } from "../helpers/assert.ts";
import { FakeClock } from "../helpers/clock.ts";
import { cookieOf, eventNames, open, read, renew, signUp, start, visit } from "../helpers/request.ts";
import { delayReads, probe, STORES } from "../helpers/stores.ts";
import {
  MemoryStore,
  SecurityContext,
  type Session,
  type SessionEvent,
  SessionGoneError,
  SessionMiddleware,
} from "../../mod.ts";

Deno.test("SessionMiddleware ignores a session id anywhere but in the cookie", async () => {
  const { store, probe: seen } = probe(new MemoryStore());
  const middleware = start({}, store);
  const cookie = await signUp(middleware);
  const value = cookie.slice("sid=".length);
  seen.calls.length = 0;
  for (
    const request of [
      { url: `http://localhost/?sid=${value}&${cookie}` },
      { url: `http://localhost/;sid=${value}#${cookie}` },
      { headers: { authorization: `Bearer ${value}`, "x-sid": value, sid: value, "set-cookie": cookie } },
      { cookie: `other=${value}; ${value}` },
    ]
  ) {
    await visit(middleware, request, async ({ security: { session } }) => {
      assert(session.isNew);
      assertEquals(await session.get("user"), undefined);
    });
  }
  const body = new SecurityContext(
    new Request("http://localhost/", { method: "POST", body: new URLSearchParams({ sid: value }) }),
  );
  await middleware.onPreRequest(body);
  assert(body.security.session.isNew);
  assertEquals(seen.calls, []);
});

Deno.test("SessionMiddleware finds no session if a record store returns null", async () => {
  const store = new MemoryStore();
  const middleware = start({}, store);
  const cookie = await signUp(middleware);
  const { session } = await open(middleware, cookie);
  for (const answer of [null, Promise.resolve(null)]) {
    store.readRecord = () => answer as unknown as undefined;
    assertEquals(await read(middleware, cookie), undefined);
  }
  await session.set("k", 1);
  await assertRejects(() => session.update("k", () => 2), SessionGoneError);
  await session.destroy();
});

Deno.test("SessionMiddleware reports every live session after the first one as ambiguous", async () => {
  const events: SessionEvent[] = [];
  const middleware = start({ onEvent: (event) => events.push(event) });
  const cookies = [await signUp(middleware), await signUp(middleware), await signUp(middleware)];
  const created = events.map(({ session }) => session);
  events.length = 0;
  await visit(middleware, { cookie: cookies.join("; ") });
  assertEquals(eventNames(events), ["refused ambiguous", "refused ambiguous"]);
  assertEquals(events.map(({ session }) => session), created.slice(1));
});

Deno.test("SessionMiddleware re-signs no cookie if the client also sent the re-signed one", async () => {
  const [older, newer] = [SessionMiddleware.generateSecret(), SessionMiddleware.generateSecret()];
  const store = new MemoryStore();
  const before = await signUp(start({ secret: older }, store));
  const middleware = start({ secret: [newer, older] }, store);
  const after = cookieOf(await visit(middleware, { cookie: before }));
  const response = await visit(middleware, { cookie: `${after}; ${before}` });
  assertEquals(response.headers.getSetCookie(), []);
});

for (const [name, make] of STORES) {
  Deno.test(`SessionMiddleware on ${name} finds a session whose deadline was extended while it was looked up`, async (t) => {
    const extensions: [string, (session: Session) => Promise<void>][] = [
      ["touch()", (session) => session.touch()],
      ["setMaxAge()", (session) => session.setMaxAge(600)],
      ["regenerate()", (session) => session.regenerate({ maxAge: 600, graceSeconds: 60 })],
    ];
    for (const [how, extend] of extensions) {
      await t.step(how, async () => {
        using clock = new FakeClock();
        const store = make();
        const middleware = start({ maxAge: 60, rolling: true }, store);
        const cookie = await signUp(middleware);
        const { session, finish } = await open(middleware, cookie);
        clock.tick(5000);
        // The store has read the record, but answers after its deadline. Meanwhile another request
        // extends the deadline.
        const slow = delayReads(store);
        const late = read(middleware, cookie);
        await slow.asked;
        slow.stop();
        await extend(session);
        await finish();
        clock.tick(55_000);
        slow.release();
        assertEquals(await late, "ada");
        assertEquals(await read(middleware, cookie), "ada");
      });
    }
  });
}

Deno.test("SessionMiddleware does not report an old id and the new one of the same session as ambiguous", async () => {
  const events: SessionEvent[] = [];
  const middleware = start({ onEvent: (event) => events.push(event) });
  const old = await signUp(middleware);
  const next = await renew(middleware, old, { graceSeconds: 60 });
  events.length = 0;
  for (const cookie of [`${old}; ${next}`, `${next}; ${old}`]) assertEquals(await read(middleware, cookie), "ada");
  assertEquals(events, []);
});
