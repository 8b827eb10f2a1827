import { assertEquals } from "jsr:@std/assert@1.0.13";
import { ServerClock } from "../../src/stores/_server_clock.ts";
import { FakeClock } from "../helpers/clock.ts";

Deno.test("ServerClock.offset is Infinity before the first measurement", () => {
  assertEquals(new ServerClock().offset, Infinity);
});

Deno.test("ServerClock.offset is the smallest difference that was measured", () => {
  const clock = new ServerClock();
  clock.observe(1_050, 1_000);
  clock.observe(2_003, 2_000);
  clock.observe(3_200, 3_000);
  assertEquals(clock.offset, 3);
});

Deno.test("ServerClock.offset may be negative", () => {
  const clock = new ServerClock();
  clock.observe(1_000, 5_000);
  assertEquals(clock.offset, -4_000);
});

Deno.test("ServerClock.offset forgets a measurement after one to two minutes", () => {
  using time = new FakeClock();
  const clock = new ServerClock();
  const measure = (difference: number): void => clock.observe(Date.now() + difference, Date.now());
  measure(3);
  time.tick(60_000);
  measure(50);
  assertEquals(clock.offset, 3);
  time.tick(60_000);
  measure(40);
  assertEquals(clock.offset, 40);
  time.tick(120_000);
  measure(70);
  assertEquals(clock.offset, 70);
});
