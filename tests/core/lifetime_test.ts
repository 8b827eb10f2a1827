import { assertEquals } from "../helpers/assert.ts";
import { FakeClock } from "../helpers/clock.ts";
import { SECRET } from "../helpers/request.ts";
import { activityInterval, computeExpiry, cookieExpiry, effectiveExpiry } from "../../src/core/lifetime.ts";
import type { SessionOptions } from "../../src/options.ts";
import { resolveOptions } from "../../src/resolve_options.ts";
import type { SessionMeta } from "../../src/session_store.ts";

const DAY = 24 * 60 * 60 * 1000;

Deno.test("computeExpiry() returns the earliest limit, or a day without any", () => {
  using clock = new FakeClock();
  const expires = new Date(clock.now + 5000);
  // Created 30 seconds ago and used 10 seconds ago.
  const activity = { createdAt: clock.now - 30_000, seenAt: clock.now - 10_000 };
  const at = (options: Partial<SessionOptions>, own: Partial<SessionMeta> = {}): [number, number | undefined] => {
    const settings = resolveOptions({ secret: SECRET, ...options });
    const cookie = cookieExpiry(settings, { ...activity, ...own });
    return [computeExpiry(settings, { ...activity, ...own }) - clock.now, cookie && cookie - clock.now];
  };
  assertEquals(at({ maxAge: 60 }), [30_000, 30_000]);
  assertEquals(at({ maxAge: 60, expires }), [30_000, 30_000]);
  assertEquals(at({ maxAge: 60, rolling: true }), [50_000, 50_000]);
  assertEquals(at({ maxAge: 60, idleTimeout: 20 }), [10_000, 30_000]);
  assertEquals(at({ maxAge: 60, rolling: true, absoluteTimeout: 70 }), [40_000, 40_000]);
  assertEquals(at({ idleTimeout: 20 }), [10_000, undefined]);
  assertEquals(at({ idleTimeout: 200, absoluteTimeout: 70 }), [40_000, undefined]);
  assertEquals(at({ expires }), [5000, undefined]);
  assertEquals(at({ renewalTimeout: 20 }), [DAY - 30_000, undefined]);

  const own = { maxAge: 90, maxAgeSince: clock.now - 20_000 };
  assertEquals(at({}, own), [70_000, 70_000]);
  assertEquals(at({ maxAge: 60, expires }, own), [70_000, 70_000]);
  assertEquals(at({ maxAge: 60, rolling: true }, own), [80_000, 80_000]);
  assertEquals(at({ maxAge: 60, rolling: true }, { ...own, maxAgeSince: clock.now }), [90_000, 90_000]);
  assertEquals(at({ absoluteTimeout: 70, idleTimeout: 20 }, own), [10_000, 40_000]);
  const untilBrowserCloses = { maxAge: 0, maxAgeSince: clock.now - 20_000 };
  assertEquals(at({}, untilBrowserCloses), [DAY - 20_000, Infinity]);
  assertEquals(at({ maxAge: 60, expires }, untilBrowserCloses), [DAY - 20_000, Infinity]);
  assertEquals(at({ maxAge: 60, rolling: true }, untilBrowserCloses), [DAY - 10_000, Infinity]);
  assertEquals(at({ absoluteTimeout: 70 }, untilBrowserCloses), [40_000, Infinity]);
  // The life of the options, counted from the sign-in of another user.
  assertEquals(at({ maxAge: 60 }, { maxAgeSince: clock.now - 20_000 }), [40_000, 40_000]);
  assertEquals(at({}, { maxAgeSince: clock.now - 20_000 }), [DAY - 20_000, undefined]);
});

Deno.test("effectiveExpiry() returns the earlier one of the stored expiry and that of the options", () => {
  using clock = new FakeClock();
  const activity = { createdAt: clock.now, seenAt: clock.now };
  const options = resolveOptions({ secret: SECRET, maxAge: 60 });
  assertEquals(effectiveExpiry(options, clock.now + 30_000, activity), clock.now + 30_000);
  assertEquals(effectiveExpiry(options, clock.now + 90_000, activity), clock.now + 60_000);
});

Deno.test("activityInterval() returns a tenth of the shortest sliding limit", () => {
  const of = (options: Partial<SessionOptions>, maxAge?: number): number =>
    activityInterval(resolveOptions({ secret: SECRET, ...options }), { maxAge });
  assertEquals(of({ maxAge: 60 }), Infinity);
  assertEquals(of({ absoluteTimeout: 60 }), Infinity);
  assertEquals(of({ maxAge: 60, rolling: true }), 6000);
  assertEquals(of({ maxAge: 60, rolling: true, idleTimeout: 20 }), 2000);
  assertEquals(of({ maxAge: 60, idleTimeout: 600 }), 60_000);
  assertEquals(of({ maxAge: 60, rolling: true }, 90), 9000);
  assertEquals(of({ maxAge: 60, rolling: true }, 0), DAY / 10);
  assertEquals(of({ maxAge: 60 }, 90), Infinity);
});
