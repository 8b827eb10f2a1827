/**
 * Finds misspelled options.
 *
 * @module
 */
import { describeType } from "./describe_value.ts";

/**
 * Refuses options that do not exist, because a misspelled option would have no effect.
 *
 * @param action what the caller does, for the message: "Cannot <action>: …"
 * @param options the options as the application passed them
 * @param names an object with a property for each option. Its type makes a missing name, and one
 * that is no option, a type error.
 * @throws {TypeError} if `options` is not an object, or has an unknown property. The message names
 * the most similar option, if there is one.
 */
export function checkOptionNames<T extends object>(
  action: string,
  options: T,
  names: Readonly<Record<keyof NoInfer<T>, unknown>>,
): void {
  if (typeof options !== "object" || options === null) {
    throw new TypeError(`Cannot ${action}: the options must be an object; received ${describeType(options)}`);
  }
  for (const option of Object.keys(options)) {
    if (Object.hasOwn(names, option)) continue;
    const similar = Object.keys(names).filter((name) => isSimilar(option, name))
      .sort((a, b) => distance(option, a) - distance(option, b))[0];
    const hint = similar === undefined ? "" : `; did you mean \`${similar}\`?`;
    throw new TypeError(`Cannot ${action}: unknown option \`${option}\`${hint}`);
  }
}

/** Returns whether about a third of the characters of a name differ, or fewer. */
function isSimilar(option: string, name: string): boolean {
  const limit = Math.ceil(name.length / 3);
  return Math.abs(option.length - name.length) <= limit && distance(option, name) <= limit;
}

/**
 * Returns the Levenshtein distance of two texts, regardless of case: how many characters must be
 * inserted, removed or replaced to turn one into the other.
 *
 * Note: std's `levenshteinDistance()` reserves 4.4 MB at import, which every application would pay.
 */
function distance(from: string, to: string): number {
  const target = to.toLowerCase();
  // The distances of the text so far to each beginning of the target.
  let row = Array.from({ length: target.length + 1 }, (_, length) => length);
  for (const character of from.toLowerCase()) {
    let [diagonal = 0] = row;
    let left = diagonal + 1;
    row = [left].concat(
      row.slice(1).map((above, i) => {
        left = Math.min(left + 1, above + 1, character === target[i] ? diagonal : diagonal + 1);
        diagonal = above;
        return left;
      }),
    );
  }
  return row.at(-1) ?? 0;
}
