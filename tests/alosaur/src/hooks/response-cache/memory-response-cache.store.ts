// deno-lint-ignore-file no-explicit-any -- Alosaur's own public signatures are any
import type { ResponseCacheStore } from "./response-cache-store.interface.ts";

/** Stores the results themselves, not copies. */
export class MemoryResponseCacheStore implements ResponseCacheStore {
  readonly #results = new Map<string, unknown>();

  create(hash: string, result: unknown): Promise<void> {
    this.#results.set(hash, result);
    return Promise.resolve();
  }

  delete(hash: string): Promise<void> {
    this.#results.delete(hash);
    return Promise.resolve();
  }

  get(hash: string): Promise<any> {
    return Promise.resolve(this.#results.get(hash));
  }
}
