/**
 * Whether anything still follows a signal.
 *
 * @module
 */

/** The symbol under which Deno keeps the signals that `AbortSignal.any()` has derived from a signal. */
const dependentsSymbol = Object.getOwnPropertySymbols(new AbortController().signal)
  .find(({ description }) => description === "[[dependentSignals]]");

/**
 * Returns whether a signal that `AbortSignal.any()` has derived from this one is still in use, that
 * is, has not been collected as garbage. Deno keeps a derived signal as long as it has a listener.
 *
 * No standard interface tells this: a `FinalizationRegistry` misses the signals that the
 * application derives from a derived one. If Deno keeps them elsewhere one day, every signal counts
 * as in use.
 */
export function isFollowed(signal: AbortSignal): boolean {
  if (dependentsSymbol === undefined) return true;
  const dependents: Iterable<WeakRef<AbortSignal>> | null = Reflect.get(signal, dependentsSymbol);
  if (dependents === null) return false;
  if (typeof dependents?.[Symbol.iterator] !== "function") return true;
  for (const dependent of dependents) if (dependent.deref() !== undefined) return true;
  return false;
}
