import { assertEquals } from "../helpers/assert.ts";
import { FakeClock } from "../helpers/clock.ts";
import { SECRET } from "../helpers/request.ts";
import { activityInterval, computeExpiry, cookieExpiry, effectiveExpiry } from "../../src/core/lifetime.ts";
import { resolveOptions, type SessionOptions } from "../../src/options.ts";

Deno.test("computeExpiry() returns the earliest limit, or a day without any", () => {
  using clock = new FakeClock();
  const expires = new Date(clock.now + 5000);
  // Created 30 seconds ago and used 10 seconds ago.
  const activity = { createdAt: clock.now - 30_000, seenAt: clock.now - 10_000 };
  const at = (options: Partial<SessionOptions>): [number, number] => {
    const settings = resolveOptions({ secret: SECRET, ...options });
    return [computeExpiry(settings, activity) - clock.now, cookieExpiry(settings, activity) - clock.now];
  };
  assertEquals(at({ maxAge: 60 }), [30_000, 30_000]);
  assertEquals(at({ maxAge: 60, expires }), [30_000, 30_000]);
  assertEquals(at({ maxAge: 60, rolling: true }), [50_000, 50_000]);
  assertEquals(at({ maxAge: 60, idleTimeout: 20 }), [10_000, 30_000]);
  assertEquals(at({ maxAge: 60, rolling: true, absoluteTimeout: 70 }), [40_000, 40_000]);
  assertEquals(at({ idleTimeout: 20 }), [10_000, Infinity]);
  assertEquals(at({ idleTimeout: 200, absoluteTimeout: 70 }), [40_000, 40_000]);
  assertEquals(at({ expires }), [5000, 5000]);
  assertEquals(at({ renewalTimeout: 20 }), [24 * 60 * 60 * 1000 - 30_000, Infinity]);
});

Deno.test("effectiveExpiry() returns the earlier one of the stored expiry and that of the options", () => {
  using clock = new FakeClock();
  const activity = { createdAt: clock.now, seenAt: clock.now };
  const options = resolveOptions({ secret: SECRET, maxAge: 60 });
  assertEquals(effectiveExpiry(options, clock.now + 30_000, activity), clock.now + 30_000);
  assertEquals(effectiveExpiry(options, clock.now + 90_000, activity), clock.now + 60_000);
});

Deno.test("activityInterval() returns a tenth of the shortest sliding limit", () => {
  const of = (options: Partial<SessionOptions>): number =>
    activityInterval(resolveOptions({ secret: SECRET, ...options }));
  assertEquals(of({ maxAge: 60 }), Infinity);
  assertEquals(of({ absoluteTimeout: 60 }), Infinity);
  assertEquals(of({ maxAge: 60, rolling: true }), 6000);
  assertEquals(of({ maxAge: 60, rolling: true, idleTimeout: 20 }), 2000);
  assertEquals(of({ maxAge: 60, idleTimeout: 600 }), 60_000);
});
