import { assertEquals } from "../helpers/assert.ts";
import { areEqual } from "../../src/util/equal_values.ts";
import { cloneValue } from "../../src/util/clone_value.ts";

const cyclic = (name: string): unknown => {
  const value: Record<string, unknown> = { name, list: [1] };
  value.self = value;
  value.listAgain = value.list;
  return value;
};

/** Values that all differ from each other. */
const VALUES: readonly (() => unknown)[] = [
  () => undefined,
  () => null,
  () => false,
  () => 0,
  () => -0,
  () => NaN,
  () => 1n,
  () => "",
  () => "1",
  () => [],
  () => [undefined],
  () => [1, 2],
  () => [2, 1],
  () => [[1], 2],
  () => ({}),
  () => ({ 0: 1, 1: 2 }),
  () => ({ a: 1 }),
  () => ({ a: undefined }),
  () => ({ a: 1, b: 2 }),
  () => ({ b: 2, a: 1 }),
  () => ({ a: { b: [{ c: "d" }] } }),
  () => ({ a: { b: [{ c: "e" }] } }),
  () => ({ constructor: 1 }),
  () => new Date(5),
  () => new Date(6),
  () => new Date(NaN),
  () => new Map(),
  () => new Map([[1, 2]]),
  () => new Map([[2, 1]]),
  () => new Map([[1, 2], [3, 4]]),
  () => new Map([[3, 4], [1, 2]]),
  () => new Map([[{ k: 1 }, 2]]),
  () => new Set(),
  () => new Set([1, 2]),
  () => new Set([2, 1]),
  () => new Uint8Array([1, 2]),
  () => new Uint8Array([1, 3]),
  () => new Uint8ClampedArray([1, 2]),
  () => new BigInt64Array([1n, 2n]),
  () => new Uint8Array([1, 2]).buffer,
  () => new Uint8Array([1, 2, 3]).buffer,
  () => cyclic("one"),
  () => cyclic("two"),
];

Deno.test("areEqual() tells every value from every other, and finds it equal to its copy", () => {
  for (const [i, one] of VALUES.entries()) {
    for (const [j, other] of VALUES.entries()) {
      assertEquals(areEqual(one(), cloneValue("", other())), i === j, `${i} and ${j}`);
    }
  }
});

Deno.test("areEqual() compares each object once, however often a value contains it", () => {
  const nested = (): unknown => {
    let value: unknown = [1];
    for (let i = 0; i < 100; i++) value = [value, value];
    return value;
  };
  assertEquals(areEqual(nested(), nested()), true);
});
