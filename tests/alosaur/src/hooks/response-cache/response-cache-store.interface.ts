import type { HttpContext } from "../../models/http-context.ts";

/** The token under which the store is provided. Note: use `useValue`. A class in `useClass` is not instantiated. */
export const ResponseCacheStoreToken = "ResponseCacheStoreToken";

export interface ResponseCachePayload {
  /** How long a result is kept, in milliseconds. */
  duration: number;
  /** Returns the cache key of a request. @default the whole URL */
  getHash?: (context: HttpContext) => string;
}

export interface ResponseCacheResult<T> {
  /** The result's expiry, in milliseconds since the epoch. */
  expires: number;
  result: T;
}

export interface ResponseCacheStore {
  create<T>(hash: string, payload: ResponseCacheResult<T>): Promise<void>;
  delete(hash: string): Promise<void>;
  get<T>(hash: string): Promise<ResponseCacheResult<T>>;
}
