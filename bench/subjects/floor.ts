/**
 * A lower bound for the cost of a signed session, written by hand. It slices the cookie out of the
 * header, computes the HMAC from a precomputed state and does one lookup in a `Map`. It has no
 * expiry, no copies and no framework.
 *
 * @module
 */
import { _HMAC } from "npm:@noble/hashes@2.4.0/hmac.js";
import { sha256 } from "npm:@noble/hashes@2.4.0/sha2.js";
import { overFetch, type Subject } from "./subject.ts";

type Values = Record<string, number>;

const NAME = "sid=";
const BASE64URL = { alphabet: "base64url", omitPadding: true } as const;
const ID_LENGTH = 24;
const VALUE_LENGTH = ID_LENGTH + 1 + 43;
const MAX_CACHED = 10_000;

/** @param caches whether to cache verified cookies, so that a later request needs no HMAC */
export function floor(caches: boolean): Subject<Response> {
  const sessions = new Map<string, Values>();
  const verified = new Map<string, string>();
  const initial = new _HMAC(sha256, crypto.getRandomValues(new Uint8Array(32)));
  const work = initial.clone();
  const message = new Uint8Array(ID_LENGTH);
  const digest = new Uint8Array(32);
  const pool = new Uint8Array(18 * 128);
  let poolOffset = pool.length;

  function sign(id: string): string {
    for (let i = 0; i < ID_LENGTH; i++) message[i] = id.charCodeAt(i);
    initial._cloneInto(work).update(message).digestInto(digest);
    return digest.toBase64(BASE64URL);
  }

  function verify(value: string): string | undefined {
    const id = value.slice(0, ID_LENGTH);
    const expected = sign(id);
    let difference = 0;
    for (let i = 0; i < expected.length; i++) {
      difference |= expected.charCodeAt(i) ^ value.charCodeAt(ID_LENGTH + 1 + i);
    }
    return difference === 0 ? id : undefined;
  }

  function verifyCached(value: string): string | undefined {
    const cached = verified.get(value);
    if (cached !== undefined) return cached;
    const id = verify(value);
    if (id === undefined) return undefined;
    if (verified.size === MAX_CACHED) verified.clear();
    verified.set(value, id);
    return id;
  }

  function find(request: Request): Values | undefined {
    const header = request.headers.get("cookie");
    if (header === null) return undefined;
    const at = header.indexOf(NAME);
    if (at === -1) return undefined;
    const value = header.slice(at + NAME.length, at + NAME.length + VALUE_LENGTH);
    if (value.length !== VALUE_LENGTH) return undefined;
    const id = caches ? verifyCached(value) : verify(value);
    return id === undefined ? undefined : sessions.get(id);
  }

  function create(response: Response): Values {
    if (poolOffset === pool.length) {
      crypto.getRandomValues(pool);
      poolOffset = 0;
    }
    const id = pool.subarray(poolOffset, poolOffset += 18).toBase64(BASE64URL);
    const values = {};
    sessions.set(id, values);
    response.headers.append("set-cookie", `${NAME}${id}.${sign(id)}; Path=/; HttpOnly; SameSite=Lax`);
    return values;
  }

  function withSessions(request: Request): Response {
    switch (actionOf(request)) {
      case "read":
        return new Response(String(find(request)?.n ?? "none"));
      case "readWrite": {
        const values = find(request);
        const n = (values?.n ?? 0) + 1;
        const response = new Response(String(n));
        (values ?? create(response)).n = n;
        return response;
      }
      case "write": {
        const response = new Response("1");
        (find(request) ?? create(response)).n = 1;
        return response;
      }
      default:
        // No lookup. A library whose sessions expire needs one here.
        return new Response("ok");
    }
  }

  return overFetch({ with: withSessions, without }, () => {
    sessions.clear();
    verified.clear();
  });
}

function without(request: Request): Response {
  switch (actionOf(request)) {
    case "read":
    case "readWrite":
    case "write":
      return new Response("1");
    default:
      return new Response("ok");
  }
}

function actionOf(request: Request): string {
  return request.url.slice(request.url.lastIndexOf("/") + 1);
}
