/** The value of a register, `undefined` if it is empty. A register is one key of one session. */
export type Value = string | undefined;

/** Something that a request did between two ticks of the logical clock. */
export interface Span {
  /**
   * The number of the request. The operations of one request run in the order in which they
   * started.
   */
  by: number;
  /** The tick at which it started. */
  startedAt: number;
  /** The tick at which it ended. */
  endedAt: number;
}

/** An operation on a register. */
export interface Operation extends Span {
  /** Describes the operation in a report. */
  what: string;
  /** Whether the operation may never have happened. */
  maybe: boolean;
  /** The value that it read, if that is known. */
  read?: { value: Value };
  /** The value that it wrote, unless it only read. */
  wrote?: { value: Value };
}

/**
 * Returns whether the operations are linearizable on a register that was empty: whether an order
 * exists in which each takes effect at one tick between its start and its end, and reads what the
 * operation before it left (Wing and Gong, "Testing and Verifying Concurrent Objects").
 */
export function isLinearizable(operations: readonly Operation[]): boolean {
  const before = operations.map((operation) =>
    operations.reduce((mask, other, i) => isBefore(other, operation) ? mask | 1n << BigInt(i) : mask, 0n)
  );
  const certain = operations.reduce((mask, operation, i) => operation.maybe ? mask : mask | 1n << BigInt(i), 0n);
  const visited = new Set<string>();

  const search = (left: bigint, value: Value): boolean => {
    if ((left & certain) === 0n) return true;
    const state = `${left} ${value}`;
    if (visited.has(state)) return false;
    visited.add(state);
    const next: [bigint, Value][] = [];
    for (const [i, operation] of operations.entries()) {
      const bit = 1n << BigInt(i);
      const earlier = before[i] ?? 0n;
      if ((left & bit) === 0n || (left & earlier & certain) !== 0n) continue;
      if (operation.read !== undefined && operation.read.value !== value) continue;
      // Earlier operations that are uncertain have not happened.
      const rest = left & ~bit & ~earlier;
      // A read that fits can be taken immediately, because it changes nothing for the others.
      if (operation.wrote === undefined && !operation.maybe && earlier === (earlier & ~left)) {
        return search(rest, value);
      }
      next.push([rest, operation.wrote === undefined ? value : operation.wrote.value]);
    }
    return next.some(([rest, value]) => search(rest, value));
  };
  return search((1n << BigInt(operations.length)) - 1n, undefined);
}

/** Returns whether one certainly took effect before the other. */
export function isBefore(one: Span, other: Span): boolean {
  return one.endedAt < other.startedAt || (one.by === other.by && one.startedAt < other.startedAt);
}
