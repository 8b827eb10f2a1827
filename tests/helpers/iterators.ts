/** Counts the iterators over the entries of a map that are created during an action. */
export async function countIterators(action: () => void | Promise<void>): Promise<number> {
  const real = Map.prototype.entries;
  let iterators = 0;
  Map.prototype.entries = function <K, V>(this: Map<K, V>): MapIterator<[K, V]> {
    iterators++;
    return real.call(this) as MapIterator<[K, V]>;
  };
  try {
    await action();
  } finally {
    Map.prototype.entries = real;
  }
  return iterators;
}
