/** What must not mislead `session.signal`: late answers, failures, and what happens at the same time. */
import { assertEquals } from "../helpers/assert.ts";
import { FakeClock } from "../helpers/clock.ts";
import { idOf, open, renew, signIn, signUp, start, visit } from "../helpers/request.ts";
import { endOf, seconds } from "../helpers/signals.ts";
import { delayReads, failing, probe, waiting, working } from "../helpers/stores.ts";
import { FakeTimers, quiet } from "../helpers/timers.ts";
import { MemoryStore, type Watch } from "../../mod.ts";

/** Reports only what the test reports, as PostgreSQL reports no creations. */
class ReportingStore extends MemoryStore {
  changed: ((key: string | undefined) => void) | undefined;
  confirmImpl: () => Promise<void> = () => Promise.resolve();
  override watch(changed: (key: string | undefined) => void): Promise<Watch> {
    this.changed = changed;
    return Promise.resolve({
      keyOf: (sid: string) => sid,
      confirm: () => this.confirmImpl(),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    });
  }
}
Deno.test("session.signal learns that a session has ended which another process has moved just before", async () => {
  using timers = new FakeTimers();
  const backend = new ReportingStore();
  const here = start({}, backend), there = start({}, probe(backend).store);
  const cookie = await signUp(here);
  const signal = (await open(here, cookie)).session.signal;
  await quiet();
  const next = await renew(there, cookie);
  const lookups = delayReads(backend);
  backend.changed?.(idOf(cookie));
  await lookups.asked; // trace of old id
  // The delayed answers: the trace and then the record of the new id.
  lookups.stop();
  // release trace; then delay the record
  const real = backend.readRecord.bind(backend);
  const gate = Promise.withResolvers<void>(), asked = Promise.withResolvers<void>();
  backend.readRecord = (async (sid: string) => {
    const a = await real(sid);
    asked.resolve();
    await gate.promise;
    return a;
  }) as unknown as typeof backend.readRecord;
  lookups.release();
  await asked.promise;
  backend.readRecord = real as unknown as typeof backend.readRecord;
  await visit(there, { cookie: next }, ({ security: { session } }) => session.destroy());
  backend.changed?.(idOf(next)); // reported before the answer arrives
  gate.resolve();
  await quiet();
  await seconds(timers, 600);
  assertEquals(endOf(signal), "gone");
});

Deno.test("session.signal learns that a session has ended while this process was moving it", async () => {
  using timers = new FakeTimers();
  const backend = new ReportingStore();
  const here = start({}, backend);
  const cookie = await signUp(here);
  const { session } = await open(here, cookie);
  const signal = session.signal;
  await quiet();
  const realMove = backend.moveRecord.bind(backend);
  backend.moveRecord = async (sid, newSid, move) => {
    const r = await realMove(sid, newSid, move);
    backend.changed?.(sid);
    await quiet();
    await backend.delete(newSid); // revokeAll by another process
    backend.changed?.(newSid);
    await quiet();
    return r;
  };
  await session.regenerate({ principal: "ada" });
  await quiet();
  await seconds(timers, 600);
  assertEquals(endOf(signal), "gone");
});

Deno.test("session.signal that was asked for while the session was being created learns of its end", async () => {
  using timers = new FakeTimers();
  const backend = new ReportingStore();
  const { store, probe: control } = probe(backend);
  const here = start({}, store);
  const { session } = await open(here);
  const gate = Promise.withResolvers<void>();
  control.before = waiting(gate.promise, "createRecord");
  const created = session.set("a", 1);
  const { signal } = session;
  await quiet();
  gate.resolve();
  await created;
  await quiet();
  await backend.delete(session.sessionId);
  backend.changed?.(session.sessionId);
  await quiet();
  await seconds(timers, 600);
  assertEquals(endOf(signal), "gone");
});

Deno.test("session.signal of a session that this request has created and another process has ended aborts", async () => {
  using clock = new FakeClock();
  using timers = new FakeTimers();
  const backend = new MemoryStore();
  const { store, probe: control } = probe(backend);
  const here = start({ maxAge: 100 }, store);
  const { session } = await open(here);
  await session.regenerate({ principal: "ada" });
  await backend.delete(session.sessionId); // another process: revokeAll
  const { signal } = session;
  await seconds(timers, 200, clock);
  control.calls.length = 0;
  await seconds(timers, 60, clock);
  assertEquals([endOf(signal), control.calls.length], ["gone", 0]);
});

Deno.test("session.signal aborts at the expiry that regenerate({ maxAge }) has set", async () => {
  using clock = new FakeClock();
  using timers = new FakeTimers();
  const backend = new ReportingStore();
  const here = start({ maxAge: 100_000 }, backend);
  const cookie = await signUp(here);
  const { session } = await open(here, cookie);
  const signal = session.signal;
  await quiet();
  await session.regenerate({ principal: "ada", maxAge: 10 });
  backend.changed?.(idOf(cookie)); // the notice of the move
  await quiet();
  await seconds(timers, 600, clock);
  assertEquals(endOf(signal), "expired");
});

Deno.test("session.signal looks a session up again if the answer arrives after an expiry that activity has extended", async () => {
  using clock = new FakeClock();
  using _timers = new FakeTimers();
  const backend = new ReportingStore();
  const here = start({ maxAge: 100, rolling: true }, backend);
  const cookie = await signUp(here);
  const { signal } = (await open(here, cookie)).session;
  await quiet();
  clock.tick(98_000);
  const lookups = delayReads(backend);
  backend.changed?.(idOf(cookie));
  await lookups.asked;
  lookups.stop();
  await visit(here, { cookie });
  clock.tick(3000);
  lookups.release();
  await quiet();
  assertEquals(endOf(signal), undefined);
});

Deno.test("session.signal survives a watch that throws", async () => {
  using timers = new FakeTimers();
  const backend = new ReportingStore();
  const here = start({}, backend);
  const { session } = await open(here, await signUp(here));
  const signal = session.signal;
  await quiet();
  backend.confirmImpl = () => {
    throw new Error("lost");
  };
  await seconds(timers, 12);
  assertEquals(endOf(signal), undefined);
});

Deno.test("session.signal of a second sign-in does not abort while its session is being created", async () => {
  using _timers = new FakeTimers();
  const backend = new MemoryStore();
  const { store, probe: control } = probe(backend);
  const here = start({}, store);
  const cookie = await signUp(here);
  const first = await open(here, cookie), second = await open(here, cookie);
  await first.session.regenerate({ principal: "ada" });
  const gate = Promise.withResolvers<void>();
  control.before = waiting(gate.promise, "createRecord");
  const p = second.session.regenerate({ principal: "ada" });
  await quiet();
  const { signal } = second.session;
  await quiet();
  gate.resolve();
  await p;
  assertEquals(endOf(signal), undefined);
});

Deno.test("session.signal that is asked for after revokeAll() says so", async () => {
  const here = start();
  const { session } = await open(here, await signIn(here, "ada"));
  await here.sessions.revokeAll("ada");
  assertEquals(endOf(session.signal), "revoked");
});

Deno.test("session.signal of a visitor without a user is aborted by clear(), in this process and in another one", async () => {
  using timers = new FakeTimers();
  const backend = new MemoryStore();
  const here = start({}, backend), there = start({}, probe(backend).store);
  const a = await signUp(here), b = await signUp(here);
  const s = [(await open(here, a)).session.signal, (await open(here, b)).session.signal];
  await quiet();
  await visit(here, { cookie: a }, ({ security: { session } }) => session.clear());
  await visit(there, { cookie: b }, ({ security: { session } }) => session.clear());
  await seconds(timers, 12);
  assertEquals(s.map(endOf), ["cleared", "cleared"]);
});

Deno.test("session.signal learns of an end after the store was disposed of, which ends its watches", async () => {
  using timers = new FakeTimers();
  const backend = new MemoryStore();
  const here = start({}, backend);
  const cookie = await signUp(here);
  const { signal } = (await open(here, cookie)).session;
  await quiet();
  await backend[Symbol.asyncDispose]();
  await backend.delete(idOf(cookie));
  await seconds(timers, 60);
  assertEquals(endOf(signal), "gone");
});

Deno.test("session.signal is not held up by steady writes", async () => {
  using _timers = new FakeTimers();
  const backend = new ReportingStore();
  const { store, probe: control } = probe(backend);
  const here = start({}, store), there = start({}, probe(backend).store);
  const cookie = await signIn(here, "ada");
  const { signal } = (await open(here, cookie)).session;
  await quiet();
  await renew(there, cookie, { principal: "grace" });
  control.before = async () => {
    backend.changed?.(idOf(cookie));
    await quiet();
  };
  backend.changed?.(idOf(cookie));
  for (let i = 0; i < 30; i++) await quiet();
  const ended = endOf(signal);
  control.before = working;
  await quiet();
  assertEquals(ended, "rebound");
});

Deno.test("session.signal aborts after the expiry also if the store fails for long", async () => {
  using clock = new FakeClock();
  using timers = new FakeTimers();
  const backend = new MemoryStore();
  const { store, probe: control } = probe(backend);
  const here = start({ absoluteTimeout: 100 }, store);
  const { signal } = (await open(here, await signUp(here))).session;
  await quiet();
  control.before = failing("readRecord");
  await seconds(timers, 3600, clock);
  assertEquals(endOf(signal), "expired");
});

Deno.test("session.signal of a session that could not be created aborts, and nothing is looked up for it", async () => {
  using clock = new FakeClock();
  using timers = new FakeTimers();
  const backend = new MemoryStore();
  const { store, probe: control } = probe(backend);
  const here = start({ maxAge: 100 }, store);
  const { session } = await open(here);
  control.before = failing("createRecord");
  const p = session.set("a", 1).catch(() => {});
  const { signal } = session;
  signal.addEventListener("abort", () => {});
  await p;
  control.before = working;
  await session.set("a", 1);
  await session.destroy();
  control.calls.length = 0;
  await seconds(timers, 200, clock);
  assertEquals([signal.aborted, control.calls.length, timers.pending], [true, 0, 0]);
});
