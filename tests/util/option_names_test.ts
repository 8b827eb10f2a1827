import { assertEquals, assertThrows } from "../helpers/assert.ts";
import { checkOptionNames } from "../../src/util/option_names.ts";

interface Options {
  maxAge?: number;
  idleTimeout?: number;
  sameSite?: string;
  path?: string;
}

const NAMES = { maxAge: true, idleTimeout: true, sameSite: true, path: true };

function check(options: unknown): void {
  checkOptionNames("start", options as Options, NAMES);
}

Deno.test("checkOptionNames() accepts known options, undefined ones too", () => {
  check({});
  check({ maxAge: 1, path: undefined });
  check(Object.create({ inherited: true }));
});

Deno.test("checkOptionNames() names the most similar option", async (t) => {
  for (
    const [option, similar] of [
      ["maxage", "maxAge"],
      ["max_age", "maxAge"],
      ["MAXAGE", "maxAge"],
      ["maxAges", "maxAge"],
      ["samesite", "sameSite"],
      ["sameSitee", "sameSite"],
      ["idleTimout", "idleTimeout"],
      ["idleTime", "idleTimeout"],
      ["paht", "path"],
      ["paths", "path"],
      ["ath", "path"],
      ["max", undefined],
      ["ttl", undefined],
      ["", undefined],
      ["timeout", "idleTimeout"],
      ["age", undefined],
      ["constructor", undefined],
      ["__proto__", undefined],
      ["x".repeat(1_000_000), undefined],
    ] as const
  ) {
    await t.step(option.slice(0, 20) || "an empty name", () => {
      const options = Object.defineProperty({}, option, { value: 1, enumerable: true });
      const { message } = assertThrows(() => check(options), TypeError);
      const hint = similar === undefined ? "" : `; did you mean \`${similar}\`?`;
      assertEquals(message, `Cannot start: unknown option \`${option}\`${hint}`);
    });
  }
});

Deno.test("checkOptionNames() suggests the nearest of several similar options", () => {
  const names = { storeTimeout: true, storedTimeout: true, storeTimeouts: true };
  const { message } = assertThrows(
    () => checkOptionNames<Partial<typeof names>>("start", { storetimeouts: true } as object, names),
    TypeError,
  );
  assertEquals(message, "Cannot start: unknown option `storetimeouts`; did you mean `storeTimeouts`?");
});

Deno.test("checkOptionNames() refuses what is no object, and does not show it", () => {
  const cases: [unknown, string][] = [
    ["a secret", "a string"],
    [7, "a number"],
    [null, "null"],
    [true, "a boolean"],
    [(): void => {}, "a function"],
  ];
  for (const [options, received] of cases) {
    const { message } = assertThrows(() => check(options), TypeError);
    assertEquals(message, `Cannot start: the options must be an object; received ${received}`);
  }
});

Deno.test("checkOptionNames() takes the name of every option and no other, or does not compile", () => {
  const options: Options = {};
  const { path: _, ...missing } = NAMES;
  // @ts-expect-error -- `path` is missing
  checkOptionNames("start", options, missing);
  // @ts-expect-error -- `paths` is no option
  checkOptionNames("start", options, { ...NAMES, paths: true });
});
