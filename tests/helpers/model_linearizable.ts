/** What is in a register: the value of one key of one session, or nothing. */
export type Value = string | undefined;

/** One step on a register, between two moments. */
export interface Step {
  /** Says it in a report. */
  what: string;
  /** Who takes it: the steps of one request are taken in the order in which they began. */
  by: number;
  begun: number;
  ended: number;
  /** Whether it may as well never have happened. */
  maybe: boolean;
  /** What it found there, where that is known. */
  found?: { value: Value };
  /** What it left there, unless it only read. */
  left?: { value: Value };
}

/**
 * Tells whether the steps can have been taken one after the other, each at one moment between its begin and its end, on a register
 * that was empty (Wing and Gong, "Testing and Verifying Concurrent Objects").
 */
export function isLinearizable(steps: readonly Step[]): boolean {
  const before = steps.map((step) =>
    steps.reduce((mask, other, i) => isBefore(other, step) ? mask | 1n << BigInt(i) : mask, 0n)
  );
  const certain = steps.reduce((mask, step, i) => step.maybe ? mask : mask | 1n << BigInt(i), 0n);
  const visited = new Set<string>();

  const search = (left: bigint, value: Value): boolean => {
    if ((left & certain) === 0n) return true;
    const state = `${left} ${value}`;
    if (visited.has(state)) return false;
    visited.add(state);
    const next: [bigint, Value][] = [];
    for (const [i, step] of steps.entries()) {
      const bit = 1n << BigInt(i);
      const earlier = before[i] ?? 0n;
      if ((left & bit) === 0n || (left & earlier & certain) !== 0n) continue;
      if (step.found !== undefined && step.found.value !== value) continue;
      // Of those that are uncertain, the earlier ones have not happened.
      const rest = left & ~bit & ~earlier;
      // A read that fits can be taken at once: it changes nothing for the others.
      if (step.left === undefined && !step.maybe && earlier === (earlier & ~left)) return search(rest, value);
      next.push([rest, step.left === undefined ? value : step.left.value]);
    }
    return next.some(([rest, value]) => search(rest, value));
  };
  return search((1n << BigInt(steps.length)) - 1n, undefined);
}

function isBefore(one: Step, other: Step): boolean {
  return one.ended < other.begun || (one.by === other.by && one.begun < other.begun);
}
