/**
 * Steps that many checks take.
 *
 * @module
 */
import { inspect } from "node:util";
import type { SessionStore } from "../session_store.ts";
import { newSessionId } from "../cookie/session_id.ts";
import { expect, expectEqual, messageOf, show } from "./expect.ts";

/** Why a write to such a session must reject. */
export const GONE = "there is no such session";

/** Fails unless every method answers that there is no such session. */
export async function expectMissing(store: SessionStore, sid: string, what: string): Promise<void> {
  expectEqual(await store.exist(sid), false, `exist() of ${what}`);
  expectEqual(await store.get(sid), undefined, `get() of ${what}`);
  expectEqual(await store.getValue(sid, "key"), undefined, `getValue() of ${what}`);
}

/** What is in a session; a key whose value is `undefined` is absent. */
export async function valuesOf(store: SessionStore, sid: string): Promise<Map<string, unknown>> {
  const values: unknown = await store.get(sid);
  expect(
    typeof values === "object" && values !== null,
    `get() of a live session: expected an object with its values, got ${show(values)}`,
  );
  return new Map(Object.entries(values).filter(([, value]) => value !== undefined));
}

/** Makes a session with values. */
export async function createWith(store: SessionStore, values: Record<string, unknown> = {}): Promise<string> {
  const sid = newSessionId();
  await store.create(sid);
  for (const [key, value] of Object.entries(values)) await store.setValue(sid, key, value);
  return sid;
}

/** Makes several calls at once and waits for all of them, also where one throws before it returns a promise. */
export function settle<T>(calls: (() => Promise<T>)[]): Promise<PromiseSettledResult<T>[]> {
  return Promise.allSettled(calls.map(async (call) => await call()));
}

/** How many of several calls at once were fulfilled. */
export async function countFulfilled(calls: (() => Promise<unknown>)[]): Promise<number> {
  return (await settle(calls)).filter(({ status }) => status === "fulfilled").length;
}

/** Fails if an error tells something, in its message, its properties or its causes. */
export function expectSilent(error: unknown, secrets: Record<string, string>): void {
  const text = inspect(error, { depth: 8, maxStringLength: null });
  for (const [what, secret] of Object.entries(secrets)) {
    expect(
      !text.includes(secret),
      `an error tells ${what}, which then stands in logs: ${messageOf(error).replaceAll(secret, "<secret>")}`,
    );
  }
}
