/**
 * Checks of small and large values.
 *
 * @module
 */
import type { Check } from "../check.ts";
import { expect, expectEqual, messageOf, show } from "../expect.ts";
import { createSession, expectKeptOrRejected, readValues } from "../fixtures.ts";
import type { TestedStores } from "../harness.ts";

/** Sizes in bytes, most of them next to a limit that a backend may have. */
const SIZES = [1, 2, 255, 256, 1023, 1024, 4095, 4096, 65_535, 65_536, 65_537, 102_400, 262_144];

/** Checks that values of up to `maxValueBytes` come back whole. */
export function sizeChecks({ store, reader, options }: TestedStores): Check[] {
  const { maxValueBytes } = options;
  return [{
    name: `a text of 1 to ${maxValueBytes} bytes comes back whole`,
    run: async () => {
      for (const size of [...SIZES.filter((size) => size < maxValueBytes), maxValueBytes]) {
        const text = textOf(size);
        const sid = await createSession(store, { key: text });
        expectText(await reader.getValue(sid, "key"), text, `getValue() of ${size} bytes`);
        expectText((await readValues(reader, sid)).get("key"), text, `get() of ${size} bytes`);
      }
    },
  }, {
    name: `a text of ${maxValueBytes} bytes in characters of 3 bytes comes back whole`,
    run: async () => {
      const text = "€".repeat(Math.floor(maxValueBytes / 3));
      const sid = await createSession(store, { key: text });
      expectText(await reader.getValue(sid, "key"), text, `getValue() of ${text.length} characters of 3 bytes`);
    },
  }, {
    name: "a value replaces a larger or smaller one, and the other values stay",
    run: async () => {
      const sid = await createSession(store, { other: textOf(1000) });
      for (const size of [10, maxValueBytes, 1000, Math.ceil(maxValueBytes / 2), maxValueBytes, 1]) {
        await store.setValue(sid, "key", textOf(size));
        const what = `getValue() of ${size} bytes that replaced a value of another size`;
        expectText(await reader.getValue(sid, "key"), textOf(size), what);
      }
      await store.setValue(sid, "key", textOf(maxValueBytes));
      await store.setValue(sid, "key", undefined);
      const left = new Map([["other", textOf(1000)]]);
      expectEqual(await readValues(reader, sid), left, "get() after a large value was removed");
      await store.setValue(sid, "key", textOf(maxValueBytes));
      await store.delete(sid);
      await store.create(sid);
      const what = "get() of a new session under the id of a deleted one with a large value";
      expectEqual(await readValues(reader, sid), new Map(), what);
    },
  }, {
    name:
      `a text of more than ${maxValueBytes} bytes comes back whole, or is rejected with an error that names the key`,
    run: async () => {
      const text = textOf(maxValueBytes * 2);
      const error = await expectKeptOrRejected(store, reader, `a text of ${text.length} bytes`, text);
      expect(
        error === undefined || !messageOf(error).includes(text.slice(0, 1000)),
        "the error of a value that is too large: expected it not to contain the value, got the value",
      );
    },
  }, {
    name: options.values === "all"
      ? `a Uint8Array of 1 to ${maxValueBytes} bytes comes back equal`
      : `a Uint8Array of 1 to ${maxValueBytes} bytes comes back equal, or is rejected with an error that names the key`,
    run: async () => {
      for (const size of [1, 2, 3, 1000, maxValueBytes]) {
        const bytes = Uint8Array.from({ length: size }, (_, n) => n * 31);
        const error = await expectKeptOrRejected(store, reader, `a Uint8Array of ${size} bytes`, bytes);
        expect(
          options.values !== "all" || error === undefined,
          `setValue() of a Uint8Array of ${size} bytes: expected it to resolve, got ${messageOf(error)}`,
        );
      }
    },
  }];
}

/** Returns a text that does not repeat itself, so that no part of it can pass for another. */
function textOf(bytes: number): string {
  let text = "";
  for (let n = 0; text.length < bytes; n++) text += `${n.toString(36)} `;
  return text.slice(0, bytes);
}

/**
 * Fails unless a text is as expected. The message contains its length, because a text may be long.
 */
function expectText(actual: unknown, expected: string, what: string): void {
  const got = typeof actual === "string" ? `another string of ${actual.length}` : show(actual);
  expect(actual === expected, `${what}: expected a certain string of ${expected.length} characters, got ${got}`);
}
