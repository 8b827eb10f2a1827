/** What the tests of `session.signal` share. */
import { SessionGoneError } from "../../mod.ts";
import { assertEquals, assertInstanceOf } from "./assert.ts";
import type { FakeClock } from "./clock.ts";
import { type FakeTimers, quiet } from "./timers.ts";

/** How the session has ended by its signal; `undefined` if it has not aborted. */
export function endOf(signal: AbortSignal): string | undefined {
  if (!signal.aborted) return undefined;
  assertInstanceOf(signal.reason, SessionGoneError);
  assertEquals(JSON.stringify(signal.reason), "{}");
  return signal.reason.end;
}

/** Lets seconds pass one by one, by the timers and also by the clock if it is given. */
export async function seconds(timers: FakeTimers, count: number, clock?: FakeClock): Promise<void> {
  for (let i = 0; i < count; i++) {
    clock?.tick(1000);
    timers.tick(1000);
    await quiet();
  }
}
