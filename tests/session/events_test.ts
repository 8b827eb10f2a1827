/** Events and the console: what is reported, how often, and without ids. */
import { assert, assertEquals, assertRejects } from "../helpers/assert.ts";
import { FakeClock } from "../helpers/clock.ts";
import { Captured } from "../helpers/console.ts";
import { microtasks } from "../helpers/microtasks.ts";
import { eventNames, idOf, open, read, renew, signUp, start, visit } from "../helpers/request.ts";
import { failing, probe, STORES } from "../helpers/stores.ts";
import { type SessionEvent, SessionStoreError } from "../../mod.ts";

for (const [name, make] of STORES) {
  Deno.test(`onEvent on ${name} reports what happens to a session, without its id`, async () => {
    using clock = new FakeClock();
    const events: SessionEvent[] = [];
    const middleware = start({ maxAge: 60, onEvent: (event) => events.push(event) }, make());
    const cookie = await signUp(middleware);
    const next = await renew(middleware, cookie);
    await read(middleware, cookie);
    await visit(middleware, { cookie: next }, ({ security: { session } }) => session.destroy());
    const other = await signUp(middleware);
    clock.tick(60_000);
    await read(middleware, other);
    assertEquals(eventNames(events), ["created", "renewed", "refused reuse", "destroyed", "created", "expired"]);
    const [created, renewed, reuse, destroyed] = events;
    assert(created?.type === "created" && renewed?.type === "renewed" && destroyed?.type === "destroyed");
    assertEquals([renewed.previous, destroyed.session], [created.session, renewed.session]);
    assertEquals(reuse?.session, created.session);
    const text = JSON.stringify(events);
    for (const secret of [cookie, next, other]) assert(!text.includes(idOf(secret)));
  });

  Deno.test(`onEvent on ${name} reports an awaited failure once if the store failed, and never if a value was refused`, async () => {
    const events: SessionEvent[] = [];
    const { store, probe: seen } = probe(make());
    seen.before = failing();
    const { session, finish } = await open(start({ onEvent: (event) => events.push(event) }, store));
    await assertRejects(() => session.set("a", () => 1), TypeError);
    await microtasks();
    assertEquals(events, []);
    await assertRejects(() => session.set("a", 1), SessionStoreError);
    await finish();
    await microtasks();
    assertEquals(events.map(({ type }) => type), ["storeFailed"]);
  });

  Deno.test(`onEvent on ${name} keeps the console silent`, async () => {
    using errors = new Captured("error");
    const request = visit(start({ onEvent: () => {} }, make()), {}, ({ security: { session } }) => {
      session.set("a", () => 1);
    });
    await assertRejects(() => request, TypeError);
    await microtasks();
    assertEquals(errors.lines, []);
  });
}

Deno.test("onEvent counts refusals for each reason", async () => {
  const events: SessionEvent[] = [];
  const middleware = start({ onEvent: (event) => events.push(event) });
  for (const cookie of ["sid=x", "sid=y; sid=z", `sid=${"A".repeat(24)}.${"A".repeat(43)}`]) {
    await visit(middleware, { cookie });
  }
  assertEquals(events.map((event) => event.type === "refused" && [event.reason, event.count]), [
    ["malformed", 1],
    ["malformed", 2],
    ["malformed", 3],
    ["signature", 1],
  ]);
});
