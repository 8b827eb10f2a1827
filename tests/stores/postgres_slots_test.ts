import { assertEquals } from "../helpers/assert.ts";
import { ConnectionSlots } from "../../src/stores/_postgres_slots.ts";

/** Requests a slot and counts it when it is granted. */
function requester(slots: ConnectionSlots): { granted: number; request(times: number): Promise<void> } {
  const counter = {
    granted: 0,
    async request(times: number): Promise<void> {
      for (let i = 0; i < times; i++) void Promise.resolve(slots.acquire()).then(() => counter.granted++);
      await new Promise((resolve) => setTimeout(resolve));
    },
  };
  return counter;
}

Deno.test("ConnectionSlots grants every slot immediately until a connection was refused", () => {
  const slots = new ConnectionSlots(2);
  for (let i = 0; i < 100; i++) assertEquals(slots.acquire(), undefined);
  slots.release(false);
  assertEquals(slots.acquire(), undefined);
});

Deno.test("ConnectionSlots grants one slot after a refusal, and one more after each success", async () => {
  const slots = new ConnectionSlots(10);
  const requests = requester(slots);
  await requests.request(3);
  // The second refusal belongs to a query that was sent before the first one.
  slots.release(true);
  slots.release(true);
  await requests.request(10);
  assertEquals(requests.granted, 3);
  slots.release(false);
  await requests.request(0);
  // Two slots: the one that was given back, and one more.
  assertEquals(requests.granted, 5);
  slots.release(false);
  await requests.request(0);
  assertEquals(requests.granted, 7);
});

Deno.test("ConnectionSlots keeps the limit that a refusal has shown for ten seconds", async () => {
  const { now } = performance;
  try {
    performance.now = () => 1000;
    const slots = new ConnectionSlots(10);
    const requests = requester(slots);
    await requests.request(2);
    slots.release(true);
    await requests.request(20);
    slots.release(false);
    await requests.request(0);
    assertEquals(requests.granted, 4);
    // The limit is two. The server refuses the second connection.
    slots.release(true);
    await requests.request(0);
    assertEquals(requests.granted, 4);
    for (let i = 0; i < 3; i++) slots.release(false);
    await requests.request(0);
    assertEquals(requests.granted, 7);
    performance.now = () => 11_000;
    slots.release(false);
    await requests.request(0);
    assertEquals(requests.granted, 9);
  } finally {
    performance.now = now;
  }
});

Deno.test("ConnectionSlots has no limit when all connections of the pool are granted again", async () => {
  const slots = new ConnectionSlots(2);
  const requests = requester(slots);
  await requests.request(2);
  slots.release(true);
  await requests.request(10);
  // The limit rises to two, and then the pool opens no more connections.
  slots.release(false);
  slots.release(false);
  await requests.request(0);
  assertEquals(requests.granted, 12);
});
