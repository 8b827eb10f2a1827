/** Sessions that ended: every write is refused, and nothing is created again. */
import { assertEquals, assertNotEquals, assertRejects } from "../helpers/assert.ts";
import { FakeClock } from "../helpers/clock.ts";
import { open, read, setCookies, signUp, start } from "../helpers/request.ts";
import { type Probe, probe, STORES, working } from "../helpers/stores.ts";
import { type Session, SessionGoneError, SessionStoreError } from "../../mod.ts";

for (const [name, make] of STORES) {
  Deno.test(`Session.set() on ${name} creates nothing if the session ended meanwhile`, async (t) => {
    for (
      const [how, end] of [
        ["destroyed by another request", async (_clock: FakeClock, other: Session) => await other.destroy()],
        [
          "removed from the store",
          async (_clock: FakeClock, other: Session) => await other.store.delete(other.sessionId),
        ],
        ["renewed by another request", async (_clock: FakeClock, other: Session) => await other.regenerate()],
        ["expired", (clock: FakeClock) => clock.tick(60_000)],
      ] as const
    ) {
      await t.step(how, async () => {
        using clock = new FakeClock();
        const store = make();
        const middleware = start({ maxAge: 60 }, store);
        const cookie = await signUp(middleware);
        const { session, finish } = await open(middleware, cookie);
        const { session: other } = await open(middleware, cookie);
        const id = session.sessionId;
        await end(clock, other);

        const error = await assertRejects(() => session.set("user", "back again"), SessionGoneError);
        assertEquals(error.httpCode, 409);
        assertEquals(session.expiresAt, undefined);
        assertNotEquals(session.sessionId, id);
        await assertRejects(() => session.delete("user"), SessionGoneError);
        await assertRejects(() => session.regenerate(), SessionGoneError);
        assertEquals(await session.get("user"), undefined);
        assertEquals({ ...await session.entries() }, {});
        assertEquals(session.expiresAt, undefined);
        assertNotEquals(session.sessionId, id);
        assertEquals((await finish()).headers.getSetCookie(), []);
        if (how !== "expired" || name === "MemoryStore") assertEquals(await store.exist(id), false);
        assertEquals(await read(middleware, cookie), undefined);
      });
    }
  });

  Deno.test(`Session on ${name} refuses every write after its end, without a store call`, async (t) => {
    const writes: Record<string, (session: Session) => Promise<unknown>> = {
      set: (session) => session.set("a", 1),
      delete: (session) => session.delete("user"),
      update: (session) => session.update("user", () => "bob"),
      take: (session) => session.take("user"),
      clear: (session) => session.clear(),
      touch: (session) => session.touch(),
      regenerate: (session) => session.regenerate(),
      "regenerate with a principal": (session) => session.regenerate({ principal: "ada" }),
      csrfToken: (session) => session.csrfToken(),
    };
    const ends: [string, boolean, (session: Session, clock: FakeClock, seen: Probe) => Promise<void> | void][] = [
      ["expired", true, (_session, clock) => clock.tick(60_000)],
      ["destroyed", true, (session) => session.destroy()],
      ["destroyed before it was created", false, (session) => session.destroy()],
      ["destroyed, and the store failed", true, async (session, _clock, seen) => {
        seen.before = () => Promise.reject(new Error("down"));
        await assertRejects(() => session.destroy(), SessionStoreError);
        seen.before = working;
      }],
    ];
    for (const [how, found, end] of ends) {
      for (const [what, write] of Object.entries(writes)) {
        await t.step(`${how}: ${what}`, async () => {
          using clock = new FakeClock();
          const { store, probe: seen } = probe(make());
          const middleware = start({ maxAge: 60, rolling: true, onEvent: () => {} }, store);
          const { session, finish } = await open(middleware, found ? await signUp(middleware) : undefined);
          await end(session, clock, seen);
          seen.calls.length = 0;
          await assertRejects(() => write(session), SessionGoneError);
          assertEquals(seen.calls, []);
          const values = setCookies((await finish()).headers).map(({ value }) => value);
          // Only a cookie that was presented is cleared.
          assertEquals(values, how === "expired" || !found ? [] : [""]);
        });
      }
    }
  });

  Deno.test(`Session.set() on ${name} makes no store call if the write before it found the session gone`, async () => {
    const { store, probe: seen } = probe(make());
    const middleware = start({}, store);
    const { session } = await open(middleware, await signUp(middleware));
    await store.delete(session.sessionId);
    seen.calls.length = 0;
    const first = session.set("a", 1);
    const second = session.set("b", 2);
    await assertRejects(() => first, SessionGoneError);
    const asked = seen.calls.length;
    await assertRejects(() => second, SessionGoneError);
    assertEquals(seen.calls.length, asked);
  });

  Deno.test(`Session.reload() on ${name} makes no store call after the session has ended`, async (t) => {
    const ends: [string, (session: Session, seen: Probe) => Promise<void>][] = [
      ["destroyed", (session) => session.destroy()],
      ["destroyed, and the store failed", async (session, seen) => {
        seen.before = () => Promise.reject(new Error("down"));
        await assertRejects(() => session.destroy(), SessionStoreError);
        seen.before = working;
      }],
      ["found to be gone by a write", async (session) => {
        await session.store.delete(session.sessionId);
        await assertRejects(() => session.set("a", 1), SessionGoneError);
      }],
    ];
    for (const [how, end] of ends) {
      await t.step(how, async () => {
        const { store, probe: seen } = probe(make());
        const middleware = start({ onEvent: () => {} }, store);
        const { session } = await open(middleware, await signUp(middleware));
        await end(session, seen);
        seen.calls.length = 0;
        await session.reload();
        assertEquals(seen.calls, []);
      });
    }
  });

  Deno.test(`Session on ${name} removes its cookie from the response when it finds out that somebody else ended it`, async () => {
    const middleware = start({}, make());
    const cookie = await signUp(middleware);
    const { session, finish } = await open(middleware, cookie);
    await session.regenerate();
    await session.store.delete(session.sessionId);
    await assertRejects(() => session.set("a", 1), SessionGoneError);
    assertEquals((await finish()).headers.getSetCookie(), []);
  });
}
