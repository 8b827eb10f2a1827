/**
 * Closes objects that may be disposable.
 *
 * @module
 */

/** Disposes an object with its asynchronous method if it has one, otherwise with its other one. */
export async function close(resource: object & Partial<AsyncDisposable & Disposable>): Promise<void> {
  if (resource[Symbol.asyncDispose] !== undefined) await resource[Symbol.asyncDispose]?.();
  else resource[Symbol.dispose]?.();
}
