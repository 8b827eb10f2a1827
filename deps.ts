/**
 * Everything the core takes from outside, named in one place.
 *
 * Alosaur is a peer: `alosaur/` is resolved by the application's own import map, so that both use the same copy. A pinned URL
 * here would bring a second `HttpContext` and a second injection table beside the application's.
 *
 * std's functions are re-exported under explicit types: where std is mapped to its republished JavaScript, which has no types,
 * everything they touch would silently become `any`.
 *
 * @module
 */
import { setCookie as stdSetCookie } from "jsr:@std/http@1.0.25/cookie";
import { hmac as nobleHmac } from "npm:@noble/hashes@2.4.0/hmac.js";
import { sha256 } from "npm:@noble/hashes@2.4.0/sha2.js";
import { timingSafeEqual as stdTimingSafeEqual } from "jsr:@std/crypto@1.0.5/timing-safe-equal";

export { HttpContext, Injectable } from "alosaur/mod.ts";
export type { AlosaurResponse, MiddlewareTarget } from "alosaur/mod.ts";
export { SERVER_REQUEST } from "alosaur/src/models/tokens.model.ts";

/** SHA-256 with its compression of one block, `process()`, open to subclasses. */
export { _SHA256 as Sha256 } from "npm:@noble/hashes@2.4.0/sha2.js";

/** Hashes in one call; synchronous, as `crypto.subtle` is not. */
export { sha256 };

/** An HMAC-SHA-256 (RFC 2104) in one call; synchronous, as `crypto.subtle` is not. */
export function hmac(key: Uint8Array, message: Uint8Array): Uint8Array {
  return nobleHmac(sha256, key, message);
}

/** The part of std's `Cookie` that this project writes. */
export interface Cookie {
  name: string;
  value: string;
  expires?: Date;
  maxAge?: number;
  domain?: string;
  path?: string;
  secure?: boolean;
  httpOnly?: boolean;
  sameSite?: "Strict" | "Lax" | "None";
}

/** Appends a `Set-Cookie` header (RFC 6265 section 4.1); throws on characters that a cookie cannot carry. */
export const setCookie: (headers: Headers, cookie: Cookie) => void = stdSetCookie;

/** Compares two byte sequences of equal length in a time that does not depend on their content. */
export const timingSafeEqual: (a: Uint8Array, b: Uint8Array) => boolean = stdTimingSafeEqual;
