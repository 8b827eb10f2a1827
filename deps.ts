/**
 * All third-party modules of the core, named in one place.
 *
 * Alosaur is a peer dependency. `alosaur/` is resolved by the import map of the application, so
 * that the application and this library use the same copy. A pinned URL here would load a second
 * `HttpContext` and a second injection container. See docs/decisions/0001.
 *
 * std's functions are re-exported with explicit types. An import map may point std to a JavaScript
 * build without types, and their results would then silently become `any`.
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

/** SHA-256. Subclasses can call `process()`, which compresses one block. */
export { _SHA256 as Sha256 } from "npm:@noble/hashes@2.4.0/sha2.js";

/** Computes a SHA-256 in one call. Synchronous, unlike `crypto.subtle`. */
export { sha256 };

/** Computes an HMAC-SHA-256 (RFC 2104) in one call. Synchronous, unlike `crypto.subtle`. */
export function hmac(key: Uint8Array, message: Uint8Array): Uint8Array {
  return nobleHmac(sha256, key, message);
}

/** The properties of std's `Cookie` that this project uses. */
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
  partitioned?: boolean;
  unparsed?: string[];
}

/**
 * Appends a `Set-Cookie` header (RFC 6265 section 4.1). Throws if a character is not allowed in a
 * cookie.
 */
export const setCookie: (headers: Headers, cookie: Cookie) => void = stdSetCookie;

/** Compares two byte sequences of equal length in constant time. */
export const timingSafeEqual: (a: Uint8Array, b: Uint8Array) => boolean = stdTimingSafeEqual;
