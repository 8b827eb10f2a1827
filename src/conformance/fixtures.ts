/**
 * Helpers for checks of any store.
 *
 * @module
 */
import { inspect } from "node:util";
import { newSessionId } from "../cookie/session_id.ts";
import type { SessionStore } from "../session_store.ts";
import { expect, expectEqual, messageOf, show } from "./expect.ts";

/** The reason why a write to a missing session must reject. */
export const NO_SUCH_SESSION = "there is no such session";

/** Creates a session with values and returns its id. */
export async function createSession(store: SessionStore, values: Record<string, unknown> = {}): Promise<string> {
  const sid = newSessionId();
  await store.create(sid);
  for (const [key, value] of Object.entries(values)) await store.setValue(sid, key, value);
  return sid;
}

/** Reads the values of a live session. A key whose value is `undefined` counts as absent. */
export async function readValues(store: SessionStore, sid: string): Promise<Map<string, unknown>> {
  const values: unknown = await store.get(sid);
  expect(
    typeof values === "object" && values !== null,
    `get() of a live session: expected an object with its values, got ${show(values)}`,
  );
  return new Map(Object.entries(values).filter(([, value]) => value !== undefined));
}

/** Fails unless `exist()`, `get()` and `getValue()` find no session. */
export async function expectMissing(store: SessionStore, sid: string, what: string): Promise<void> {
  expectEqual(await store.exist(sid), false, `exist() of ${what}`);
  expectEqual(await store.get(sid), undefined, `get() of ${what}`);
  expectEqual(await store.getValue(sid, "key"), undefined, `getValue() of ${what}`);
}

/** Fails if an error contains a secret in its message, its properties or its causes. */
export function expectNoSecrets(error: unknown, secrets: Record<string, string>): void {
  const text = inspect(error, { depth: 8, maxStringLength: null });
  for (const [what, secret] of Object.entries(secrets)) {
    expect(
      !text.includes(secret),
      `an error that may end up in a log: expected it not to contain ${what}, got ${
        messageOf(error).replaceAll(secret, "<secret>")
      }`,
    );
  }
}

/** Runs concurrent calls and waits for all of them, even if one throws synchronously. */
export function settleAll<T>(calls: (() => Promise<T>)[]): Promise<PromiseSettledResult<T>[]> {
  return Promise.allSettled(calls.map(async (call) => await call()));
}

/** Runs concurrent calls and returns how many of them succeeded. */
export async function countFulfilled(calls: (() => Promise<unknown>)[]): Promise<number> {
  return (await settleAll(calls)).filter(({ status }) => status === "fulfilled").length;
}

/**
 * Writes a value. Fails if the store neither keeps it as it is nor rejects it with an error that
 * names the key.
 *
 * @returns the error if the store rejects the value
 */
export async function expectKeptOrRejected(
  store: SessionStore,
  reader: SessionStore,
  name: string,
  value: unknown,
): Promise<unknown> {
  const sid = await createSession(store, { "the key": "before", other: 1 });
  try {
    await store.setValue(sid, "the key", value);
  } catch (error) {
    expect(
      messageOf(error).includes("the key"),
      `setValue() of ${name}: expected an error that names the key "the key", got ${messageOf(error)}`,
    );
    const expected = new Map<string, unknown>([["the key", "before"], ["other", 1]]);
    expectEqual(await readValues(reader, sid), expected, `get() after setValue() rejected ${name}`);
    return error;
  }
  const what = "which setValue() accepted";
  expectEqual(await reader.getValue(sid, "the key"), value, `getValue() of ${name}, ${what}`);
  expectEqual((await readValues(reader, sid)).get("the key"), value, `get() of ${name}, ${what}`);
  return undefined;
}
