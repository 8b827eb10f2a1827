import { assert, assertEquals } from "../helpers/assert.ts";
import { contextOf, merged, signUp, start } from "../helpers/request.ts";
import { probe } from "../helpers/stores.ts";
import { MemoryStore, type SessionEvent } from "../../mod.ts";
import fc from "npm:fast-check@4.10.2";

const RUNS = 20_000;

/** The bytes that `Headers` accepts: all but NUL and line breaks. */
const bytes = fc.string({
  unit: fc.integer({ min: 1, max: 255 }).filter((c) => c !== 10 && c !== 13).map((c) => String.fromCharCode(c)),
  maxLength: 200,
});
const base64url = fc.string({
  unit: fc.constantFrom(..."ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"),
  maxLength: 90,
});

Deno.test(`SessionMiddleware survives ${RUNS} Cookie headers without an error, a lookup or a reflected value`, async (t) => {
  const { store, probe: seen } = probe(new MemoryStore());
  const events: SessionEvent[] = [];
  const middleware = start({ onEvent: (event) => events.push(event) }, store);
  const valid = (await signUp(middleware)).slice("sid=".length);

  const value = fc.oneof(
    bytes,
    base64url,
    fc.tuple(base64url, base64url).map(([id, signature]) => `${id}.${signature}`),
    fc.tuple(
      fc.string({ unit: fc.constantFrom(..."ABab01-_"), minLength: 24, maxLength: 24 }),
      fc.string({ unit: fc.constantFrom(..."ABab01-_"), minLength: 43, maxLength: 43 }),
    ).map(([id, signature]) => `${id}.${signature}`),
    // The valid value with one character replaced, cut off or doubled.
    fc.tuple(fc.nat(67), bytes.filter((s) => s.length > 0)).map(([at, s]) =>
      valid.slice(0, at) + s[0] + valid.slice(at + 1)
    ),
    fc.nat(67).map((at) => valid.slice(0, at)),
    fc.nat(67).map((at) => valid.slice(0, at) + valid.slice(at - 1)),
  ).filter((s) => s.trim() !== valid && !s.includes(`sid=${valid}`));
  const pair = fc.tuple(fc.constantFrom("sid=", "sid", "SID=", "=", ";", " sid = ", "x=", "sid=sid=", '"sid"='), value)
    .map(([name, value]) => name + value);
  const header = fc.oneof(bytes, fc.array(pair, { maxLength: 8 }).map((pairs) => pairs.join(";")));

  await t.step("each request has a new session", async () => {
    seen.calls.length = 0;
    const reasons = new Set<string>();
    await fc.assert(
      fc.asyncProperty(header, async (cookie) => {
        events.length = 0;
        const context = contextOf({ cookie });
        await middleware.onPreRequest(context);
        const { session } = context.security;
        assert(session.isNew);
        assertEquals(await session.get("user"), undefined);
        context.response.result = "ok";
        await middleware.onPostRequest(context);
        const response = merged(context);
        const names = Array.from(response.headers.keys()).filter((name) => name !== "content-type");
        assertEquals(names, ["cache-control"]);
        // Neither the id nor the event contains a part of the request.
        assert(!cookie.includes(session.sessionId));
        for (const event of events) {
          assert(event.type === "refused");
          reasons.add(event.reason);
          assertEquals(Object.keys(event).sort(), ["count", "reason", "type"]);
        }
      }),
      { numRuns: RUNS },
    );
    assertEquals(seen.calls, []);
    assertEquals([...reasons].sort(), ["malformed", "signature"]);
  });
});

Deno.test("SessionMiddleware finds its cookie among anything else in the header", async () => {
  const middleware = start();
  const cookie = await signUp(middleware);
  const noise = fc.array(bytes.filter((s) => !s.includes("sid=")), { maxLength: 4 }).map((parts) => parts.join(";"));
  await fc.assert(
    fc.asyncProperty(noise, noise, async (before, after) => {
      const context = contextOf({ cookie: `${before};${cookie};${after}` });
      await middleware.onPreRequest(context);
      assertEquals(await context.security.session.get("user"), "ada");
    }),
    { numRuns: 2000 },
  );
});
