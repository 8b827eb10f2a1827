// deno-lint-ignore-file ban-types -- Alosaur's own public signatures are Function
import { UseHook } from "../../decorator/mod.ts";
import { Injectable } from "../../di/mod.ts";
import type { HttpContext } from "../../models/http-context.ts";
import type { HookTarget } from "../../models/mod.ts";
import {
  type ResponseCachePayload,
  type ResponseCacheStore,
  ResponseCacheStoreToken,
} from "./response-cache-store.interface.ts";

/**
 * Answers from the store, or stores the action's result.
 *
 * Note: it stores the result object itself, before the merge. The merge appends to its headers, and
 * so does each later answer.
 */
@Injectable({ inject: [ResponseCacheStoreToken] })
export class ResponseCacheHook implements HookTarget<unknown, unknown> {
  constructor(private readonly store: ResponseCacheStore) {}

  async onPreAction(context: HttpContext<unknown>, payload: ResponseCachePayload): Promise<void> {
    const hash = hashOf(context, payload);
    const cached = await this.store.get(hash);
    if (!cached) return;
    if (cached.expires <= Date.now()) return await this.store.delete(hash);
    context.response.result = cached.result;
    context.response.setImmediately();
  }

  async onPostAction(context: HttpContext<unknown>, payload: ResponseCachePayload): Promise<void> {
    const expires = Date.now() + payload.duration;
    await this.store.create(hashOf(context, payload), { expires, result: context.response.result });
  }
}

/** Adds {@linkcode ResponseCacheHook} to an action, a controller or an area. */
export function ResponseCache(payload: ResponseCachePayload): Function {
  return UseHook(ResponseCacheHook, payload);
}

function hashOf(context: HttpContext<unknown>, payload: ResponseCachePayload): string {
  return payload.getHash ? payload.getHash(context) : context.request.serverRequest.url;
}
