import type { HttpContext } from "../../models/http-context.ts";

/** The token under which the store is provided. Note: with `useValue`; what `useClass` names is not instantiated. */
export const ResponseCacheStoreToken = "ResponseCacheStoreToken";

export interface ResponseCachePayload {
  /** How long a result is kept, in milliseconds. */
  duration: number;
  /** What distinguishes two requests. @default the whole URL */
  getHash?: (context: HttpContext) => string;
}

export interface ResponseCacheResult<T> {
  /** When the result ends, in milliseconds since the epoch. */
  expires: number;
  result: T;
}

export interface ResponseCacheStore {
  create<T>(hash: string, payload: ResponseCacheResult<T>): Promise<void>;
  delete(hash: string): Promise<void>;
  get<T>(hash: string): Promise<ResponseCacheResult<T>>;
}
