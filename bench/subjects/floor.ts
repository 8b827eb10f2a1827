/**
 * The least that a signed session can cost, by hand: slice the cookie out of the header, HMAC from a precomputed state, one look-up
 * in a Map. No deadline, no copies, no framework.
 */
import { _HMAC } from "npm:@noble/hashes@2.4.0/hmac.js";
import { sha256 } from "npm:@noble/hashes@2.4.0/sha2.js";
import { overFetch, type Subject } from "./subject.ts";

type Values = Record<string, number>;

const NAME = "sid=";
const BASE64URL = { alphabet: "base64url", omitPadding: true } as const;
const ID_LENGTH = 24;
const VALUE_LENGTH = ID_LENGTH + 1 + 43;
const MAX_REMEMBERED = 10_000;

/** @param remembers whether a cookie that was verified once is known by its value from then on */
export function floor(remembers: boolean): Subject<Response> {
  const sessions = new Map<string, Values>();
  const remembered = new Map<string, string>();
  const start = new _HMAC(sha256, crypto.getRandomValues(new Uint8Array(32)));
  const work = start.clone();
  const message = new Uint8Array(ID_LENGTH);
  const digest = new Uint8Array(32);
  const pool = new Uint8Array(18 * 128);
  let poolAt = pool.length;

  function sign(id: string): string {
    for (let i = 0; i < ID_LENGTH; i++) message[i] = id.charCodeAt(i);
    start._cloneInto(work).update(message).digestInto(digest);
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

  function recall(value: string): string | undefined {
    const known = remembered.get(value);
    if (known !== undefined) return known;
    const id = verify(value);
    if (id === undefined) return undefined;
    if (remembered.size === MAX_REMEMBERED) remembered.clear();
    remembered.set(value, id);
    return id;
  }

  function find(request: Request): Values | undefined {
    const header = request.headers.get("cookie");
    if (header === null) return undefined;
    const at = header.indexOf(NAME);
    if (at === -1) return undefined;
    const value = header.slice(at + NAME.length, at + NAME.length + VALUE_LENGTH);
    if (value.length !== VALUE_LENGTH) return undefined;
    const id = remembers ? recall(value) : verify(value);
    return id === undefined ? undefined : sessions.get(id);
  }

  function begin(response: Response): Values {
    if (poolAt === pool.length) {
      crypto.getRandomValues(pool);
      poolAt = 0;
    }
    const id = pool.subarray(poolAt, poolAt += 18).toBase64(BASE64URL);
    const values = {};
    sessions.set(id, values);
    response.headers.append("set-cookie", `${NAME}${id}.${sign(id)}; Path=/; HttpOnly; SameSite=Lax`);
    return values;
  }

  function withSessions(request: Request): Response {
    switch (actionOf(request)) {
      case "read":
        return new Response(String(find(request)?.n ?? "none"));
      case "both": {
        const values = find(request);
        const n = (values?.n ?? 0) + 1;
        const response = new Response(String(n));
        (values ?? begin(response)).n = n;
        return response;
      }
      case "write": {
        const response = new Response("1");
        (find(request) ?? begin(response)).n = 1;
        return response;
      }
      default:
        // What nobody touches is not looked up: the one thing that is less than what a session needs that tells of its end.
        return new Response("ok");
    }
  }

  return overFetch({ with: withSessions, without }, () => {
    sessions.clear();
    remembered.clear();
  });
}

function without(request: Request): Response {
  switch (actionOf(request)) {
    case "read":
    case "both":
    case "write":
      return new Response("1");
    default:
      return new Response("ok");
  }
}

function actionOf(request: Request): string {
  return request.url.slice(request.url.lastIndexOf("/") + 1);
}
