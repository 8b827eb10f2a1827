/**
 * Order statistics.
 *
 * @module
 */

/** Returns the value below which the given share of the values lies; `NaN` for no values. */
export function quantile(values: ArrayLike<number>, share: number): number {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
}

/** Returns the median, or `NaN` for no values. */
export function median(values: ArrayLike<number>): number {
  return quantile(values, 0.5);
}
