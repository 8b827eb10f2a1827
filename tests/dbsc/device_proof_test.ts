/** What the endpoint accepts, and what it refuses. */
import { assert, assertEquals } from "../helpers/assert.ts";
import { FakeClock } from "../helpers/clock.ts";
import { DeviceBrowser, DeviceKey, ENDPOINT, type Server, serverOf, signInAction } from "../helpers/device_browser.ts";
import { start } from "../helpers/request.ts";
import { DeviceBoundMiddleware } from "../../src/device_bound_middleware.ts";
import { encodeBase64Url } from "../../src/util/base64url.ts";

interface World {
  server: Server;
  browser: DeviceBrowser;
  offer: string;
  challenge: string;
}

/** A signed-in session that was offered to be bound. */
async function offered(algorithms?: readonly ["ES256"]): Promise<World> {
  const sessions = start({ onEvent: () => {} });
  const server = serverOf(sessions, new DeviceBoundMiddleware(sessions, { algorithms }), {
    "/sign-in": signInAction,
    "/device": ({ security: { session } }) => session.device?.algorithm ?? "unbound",
  });
  const browser = new DeviceBrowser(server, { hasSupport: false });
  const { headers } = await browser.request("/sign-in");
  const offer = headers.get("secure-session-registration") ?? "";
  return { server, browser, offer, challenge: /challenge="([^"]+)"/.exec(offer)?.[1] ?? "" };
}

async function device(browser: DeviceBrowser): Promise<string> {
  return await (await browser.request("/device")).text();
}

/** Encodes a part of a token. */
function part(data: unknown): string {
  return encodeBase64Url(new TextEncoder().encode(typeof data === "string" ? data : JSON.stringify(data)));
}

/** Signs a text with HMAC-SHA-256, as HS256 does. */
async function hs256(text: string, secret: string): Promise<string> {
  const encoder = new TextEncoder();
  const key = await crypto.subtle.importKey("raw", encoder.encode(secret), { name: "HMAC", hash: "SHA-256" }, false, [
    "sign",
  ]);
  return `${text}.${encodeBase64Url(new Uint8Array(await crypto.subtle.sign("HMAC", key, encoder.encode(text))))}`;
}

/** Signs with an RSA key whose exponent is 3. */
async function smallExponent(payload: unknown): Promise<string> {
  const { publicKey, privateKey } = await crypto.subtle.generateKey(
    { name: "RSASSA-PKCS1-v1_5", modulusLength: 2048, publicExponent: new Uint8Array([3]), hash: "SHA-256" },
    true,
    ["sign", "verify"],
  );
  const { kty, n, e } = await crypto.subtle.exportKey("jwk", publicKey);
  const text = `${part({ alg: "RS256", jwk: { e, kty, n }, typ: "dbsc+jwt" })}.${part(payload)}`;
  const signature = await crypto.subtle.sign("RSASSA-PKCS1-v1_5", privateKey, new TextEncoder().encode(text));
  return `${text}.${encodeBase64Url(new Uint8Array(signature))}`;
}

Deno.test("the endpoint refuses registrations that are not exactly what a browser sends", async () => {
  using _clock = new FakeClock();
  const { browser, challenge } = await offered();
  const key = await DeviceKey.create("ES256");
  const rsa = await DeviceKey.create("RS256");
  const other = await DeviceKey.create("ES256");
  const jwk = await key.jwk();
  const header = { alg: "ES256", jwk, typ: "dbsc+jwt" };
  const payload = { jti: challenge };
  const privateJwk = await crypto.subtle.exportKey("jwk", key.pair.privateKey);
  const good = await key.sign(header, payload);
  const [head = "", body = "", signature = ""] = good.split(".");
  const cases: Record<string, string> = {
    "nothing": "",
    "no token": "abc",
    "two parts": `${head}.${body}`,
    "four parts": `${good}.`,
    "no signature": `${head}.${body}.`,
    "a signature of another key": await other.sign(header, payload),
    "a signature in DER": `${head}.${body}.${part("0" + "\x45".repeat(69))}`,
    "a cut signature": `${head}.${body}.${signature.slice(0, -4)}`,
    "padded base64": `${head}.${body}.${signature}==`,
    "alg none": `${part({ ...header, alg: "none" })}.${body}.`,
    "alg None with a signature": await key.sign({ ...header, alg: "None" }, payload),
    "alg HS256 with the public key as the secret": await hs256(
      `${part({ ...header, alg: "HS256" })}.${body}`,
      JSON.stringify(jwk),
    ),
    "alg RS256 with an EC key": await rsa.sign({ ...header, alg: "RS256" }, payload),
    "alg ES256 with an RSA key": await key.sign({ ...header, jwk: await rsa.jwk() }, payload),
    "alg ES384": await key.sign({ ...header, alg: "ES384" }, payload),
    "another typ": await key.sign({ ...header, typ: "JWT" }, payload),
    "no typ": await key.sign({ alg: "ES256", jwk }, payload),
    "no jwk": await key.sign({ alg: "ES256", typ: "dbsc+jwt" }, payload),
    "a key id": await key.sign({ ...header, kid: "1" }, payload),
    "a critical extension": await key.sign({ ...header, crit: ["b64"], b64: true }, payload),
    "a key by URL": await key.sign({ alg: "ES256", jku: "https://evil.example/", typ: "dbsc+jwt" }, payload),
    "a private key": await key.sign({ ...header, jwk: { ...jwk, d: privateJwk.d } }, payload),
    "an extra member in the key": await key.sign({ ...header, jwk: { ...jwk, use: "sig" } }, payload),
    "a missing member in the key": await key.sign({ ...header, jwk: { kty: "EC", crv: "P-256", x: jwk.x } }, payload),
    "another curve": await key.sign({ ...header, jwk: { ...jwk, crv: "P-384" } }, payload),
    "a point that is not on the curve": await key.sign({ ...header, jwk: { ...jwk, y: jwk.x } }, payload),
    "a key that is no object": await key.sign({ ...header, jwk: "key" }, payload),
    "a key that is an array": await key.sign({ ...header, jwk: [jwk] }, payload),
    "an RSA key with another exponent than browsers use": await smallExponent(payload),
    "a coordinate with padding before it": await key.sign(
      { ...header, jwk: { ...jwk, x: `AAAA${jwk.x}` } },
      payload,
    ),
    "a coordinate in the other alphabet": await key.sign(
      { ...header, jwk: { ...jwk, x: jwk.x?.replaceAll("-", "+").replace(/^./, "/") } },
      payload,
    ),
    "a header that is no JSON": await key.sign("{", payload),
    "a payload that is no JSON": await key.sign(header, "{"),
    "a payload that is null": await key.sign(header, "null"),
    "a payload that is an array": await key.sign(header, "[]"),
    "no jti": await key.sign(header, {}),
    "a jti that is no string": await key.sign(header, { jti: [challenge] }),
    "an empty jti": await key.sign(header, { jti: "" }),
    "a changed challenge": await key.sign(header, { jti: challenge.slice(0, -1) }),
    "a challenge that lasts longer": await key.sign(header, { jti: challenge.replace(/^\d+/, "9999999999") }),
    "a token of 5,000 characters": await key.sign(header, { ...payload, filler: "x".repeat(4000) }),
  };
  for (const [name, token] of Object.entries(cases)) {
    const response = await browser.post(ENDPOINT, { "secure-session-response": token });
    assertEquals([name, response.status, response.headers.getSetCookie()], [name, 400, []]);
  }
  assertEquals(await device(browser), "unbound");
  // The same parts in the right order are accepted, with or without the quotes of the draft.
  for (const token of [good, `"${good}"`]) {
    assertEquals((await browser.post(ENDPOINT, { "secure-session-response": token })).status, 200);
  }
  assertEquals(await device(browser), "ES256");
});

Deno.test("the endpoint refuses small RSA keys, and algorithms that were not offered", async () => {
  using _clock = new FakeClock();
  const { browser, offer } = await offered(["ES256"]);
  assert(offer.startsWith("(ES256);"));
  const rsa = await DeviceKey.create("RS256");
  assertEquals((await browser.register(offer, rsa)).status, 400);
  const all = await offered();
  const small = await crypto.subtle.generateKey(
    { name: "RSASSA-PKCS1-v1_5", modulusLength: 1024, publicExponent: new Uint8Array([1, 0, 1]), hash: "SHA-256" },
    true,
    ["sign", "verify"],
  );
  const { kty, n, e } = await crypto.subtle.exportKey("jwk", small.publicKey);
  const text = `${part({ alg: "RS256", jwk: { kty, n, e }, typ: "dbsc+jwt" })}.${part({ jti: all.challenge })}`;
  const signature = await crypto.subtle.sign("RSASSA-PKCS1-v1_5", small.privateKey, new TextEncoder().encode(text));
  const token = `${text}.${encodeBase64Url(new Uint8Array(signature))}`;
  assertEquals((await all.browser.post(ENDPOINT, { "secure-session-response": token })).status, 400);
  assertEquals(await device(all.browser), "unbound");
});

Deno.test("the endpoint refuses challenges of other sessions and of other purposes, and after a minute", async () => {
  using clock = new FakeClock();
  const mine = await offered();
  const yours = await offered();
  assertEquals((await mine.browser.register(yours.offer)).status, 400);
  clock.tick(59_000);
  const key = await DeviceKey.create();
  assertEquals((await mine.browser.register(mine.offer, key)).status, 200);
  clock.tick(1000);
  assertEquals((await yours.browser.register(yours.offer)).status, 400);

  const id = { "sec-secure-session-id": "sid" };
  const challenge = await challengeOf(mine.browser);
  const proofs = {
    "the challenge of the registration": await key.refresh(mine.challenge),
    "a changed challenge": await key.refresh(`${challenge}x`),
  };
  for (const proof of Object.values(proofs)) {
    const response = await mine.browser.post(ENDPOINT, { ...id, "secure-session-response": proof });
    // The browser may try again with the new challenge.
    assertEquals([response.status, response.headers.has("secure-session-challenge")], [403, true]);
  }
  // The challenge of another device.
  const yourKey = await DeviceKey.create();
  assertEquals((await yours.browser.register(await nextOffer(yours.browser), yourKey)).status, 200);
  const theirs = await key.refresh(await challengeOf(yours.browser));
  assertEquals((await mine.browser.post(ENDPOINT, { ...id, "secure-session-response": theirs })).status, 403);
  const late = await key.refresh(challenge);
  clock.tick(60_000);
  assertEquals((await mine.browser.post(ENDPOINT, { ...id, "secure-session-response": late })).status, 403);
});

Deno.test("the endpoint refuses refreshes that the key of the session has not signed", async () => {
  using clock = new FakeClock();
  const { browser, offer } = await offered();
  const key = await DeviceKey.create();
  await browser.register(offer, key);
  clock.tick(60_000);
  const other = await DeviceKey.create();
  const rsa = await DeviceKey.create("RS256");
  const challenge = await challengeOf(browser);
  const jti = { jti: challenge };
  const cases: Record<string, string> = {
    "another key": await other.refresh(challenge),
    "another algorithm": await rsa.refresh(challenge),
    "a key in the header": await other.sign({ alg: "ES256", jwk: await other.jwk(), typ: "dbsc+jwt" }, jti),
    "its own key in the header": await key.sign({ alg: "ES256", jwk: await key.jwk(), typ: "dbsc+jwt" }, jti),
    "alg none": `${part({ alg: "none", typ: "dbsc+jwt" })}.${part(jti)}.`,
    "alg HS256 with the public key as the secret": await hs256(
      `${part({ alg: "HS256", typ: "dbsc+jwt" })}.${part(jti)}`,
      JSON.stringify(await key.jwk()),
    ),
  };
  for (const [name, proof] of Object.entries(cases)) {
    const headers = { "sec-secure-session-id": "sid", "secure-session-response": proof };
    assertEquals([name, (await browser.post(ENDPOINT, headers)).status], [name, 400]);
  }
});

/** Signs in again, and returns the offer. */
async function nextOffer(browser: DeviceBrowser): Promise<string> {
  return (await browser.request("/sign-in")).headers.get("secure-session-registration") ?? "";
}

async function challengeOf(browser: DeviceBrowser): Promise<string> {
  const response = await browser.post(ENDPOINT, { "sec-secure-session-id": "sid" });
  return /^"([^"]+)";id="sid"$/.exec(response.headers.get("secure-session-challenge") ?? "")?.[1] ?? "";
}

Deno.test("the endpoint answers only what the browser itself has sent from the same origin", async () => {
  using _clock = new FakeClock();
  const { server, browser, challenge } = await offered();
  const key = await DeviceKey.create();
  const proof = { "secure-session-response": await key.registration(challenge) };
  const metadata: Record<string, string>[] = [
    {},
    { "sec-fetch-mode": "no-cors" },
    { "sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors" },
    { "sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors" },
    { "sec-fetch-site": "none", "sec-fetch-mode": "no-cors" },
    // A page's script that was injected. It can send the proof in these modes.
    { "sec-fetch-site": "same-origin", "sec-fetch-mode": "cors" },
    { "sec-fetch-site": "same-origin", "sec-fetch-mode": "same-origin" },
    { "sec-fetch-site": "same-origin" },
  ];
  for (const headers of metadata) {
    const request = { path: ENDPOINT, method: "POST", headers: { ...headers, ...proof }, cookie: browser.cookie };
    assertEquals((await server(request)).status, 403, JSON.stringify(headers));
  }
  assertEquals(await device(browser), "unbound");
  // Any other method is left to the application.
  const get = await server({ path: ENDPOINT, method: "GET", headers: {}, cookie: browser.cookie });
  assertEquals(await get.text(), "ok");
});

Deno.test("the endpoint without a session answers a registration with 400, and ends a refresh", async () => {
  using _clock = new FakeClock();
  const { server, challenge } = await offered();
  const browser = new DeviceBrowser(server, { hasSupport: false });
  const registration = await (await DeviceKey.create()).registration(challenge);
  assertEquals((await browser.post(ENDPOINT, { "secure-session-response": registration })).status, 400);
  const refresh = await browser.post(ENDPOINT, { "sec-secure-session-id": "sid" });
  assertEquals([refresh.status, await refresh.json()], [200, { session_identifier: "sid", continue: false }]);
});

Deno.test("20,000 generated proofs bind nothing, refresh nothing, and never cause a 5xx", async () => {
  using clock = new FakeClock();
  const random = seeded(20_000);
  const unbound = await offered();
  const bound = await offered();
  const key = await DeviceKey.create();
  await bound.browser.register(bound.offer, key);
  // Afterwards, a wrong proof is final.
  clock.tick(60_000);
  const registration = await key.registration(unbound.challenge);
  const refresh = await key.refresh(await challengeOf(bound.browser));
  const statuses = new Map<number, number>();
  for (let i = 0; i < 20_000; i++) {
    const isRefresh = i % 2 === 0;
    const { browser } = isRefresh ? bound : unbound;
    const token = mutate(isRefresh ? refresh : registration, random);
    const headers: Record<string, string> = isRefresh
      ? { "sec-secure-session-id": pick(["sid", "", "x", '"sid"'], random) }
      : {};
    const { status } = await browser.post(ENDPOINT, { ...headers, "secure-session-response": token });
    statuses.set(status, (statuses.get(status) ?? 0) + 1);
  }
  // Status 403 asks for another proof, because the challenge was changed.
  assertEquals((statuses.get(400) ?? 0) + (statuses.get(403) ?? 0), 20_000);
  assertEquals(await device(unbound.browser), "unbound");
  assertEquals(await device(bound.browser), "ES256");
});

/** Returns a function that returns numbers from 0 to 1, always the same. */
function seeded(seed: number): () => number {
  return () => (seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648) / 2_147_483_648;
}

function pick<T>(values: readonly T[], random: () => number): T {
  return values[Math.floor(random() * values.length)] as T;
}

/** Changes a token so that it is not valid any more. */
function mutate(token: string, random: () => number): string {
  const mutated = pick<(token: string) => string>([
    // One character of the signed text or the signature becomes another one.
    (text) => replaceAt(text, random),
    (text) => text.slice(0, Math.floor(random() * text.length)),
    (text) => text.slice(Math.ceil(random() * 20)),
    (text) => text.split(".").toSorted(() => random() - 0.5).toReversed().join("."),
    (text) => withJson(text, random),
    () => Array.from({ length: 3 }, () => noise(random)).join("."),
    () => noise(random),
    (text) => text + pick([".", "=", "A", " x", ".."], random),
    (text) => text.repeat(2 + Math.floor(random() * 6)),
  ], random)(token);
  return mutated === token || mutated.trim() === token ? `${token}A` : mutated;
}

function replaceAt(text: string, random: () => number): string {
  // The last character of a part has bits that do not count.
  const inner = Array.from(text, (_, i) => i).filter((i) =>
    text[i] !== "." && i < text.length - 1 && text[i + 1] !== "."
  );
  const at = pick(inner, random);
  const other = pick([..."ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef0123456789-_.{"].filter((c) => c !== text[at]), random);
  return text.slice(0, at) + other + text.slice(at + 1);
}

/** Replaces a member of the header or of the payload by another value. */
function withJson(text: string, random: () => number): string {
  const parts = text.split(".");
  const at = random() < 0.5 ? 0 : 1;
  const data = JSON.parse(new TextDecoder().decode(Uint8Array.fromBase64(parts[at] ?? "", { alphabet: "base64url" })));
  const name = pick([...Object.keys(data), "crit", "kid", "jku", "__proto__", "b64"], random);
  data[name] = pick<unknown>(
    [null, 0, -1, true, "", "none", [], {}, [[]], "HS256", "\u0000", { kty: "oct", k: "AA" }],
    random,
  );
  parts[at] = part(data);
  return parts.join(".");
}

function noise(random: () => number): string {
  return Array.from({ length: Math.floor(random() * 200) }, () => String.fromCharCode(33 + Math.floor(random() * 94)))
    .join("");
}
