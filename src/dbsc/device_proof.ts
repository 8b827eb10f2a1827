/**
 * Verifies what a browser signs with the key of a device.
 *
 * @module
 */
import { compactVerify, importJWK, type JWK } from "npm:jose@6.2.18";
import { algorithmOf, KEY_TYPES } from "../core/session_device.ts";
import type { DeviceAlgorithm } from "../session_types.ts";

/** The longest accepted proof, in characters. With an RSA key of 4,096 bits it has about 2,500. */
const MAX_PROOF_LENGTH = 4096;

/** Three parts in base64url without padding (RFC 7515 section 7.1). The library also accepts padding. */
const TOKEN_PATTERN = /^[\w-]+\.[\w-]+\.[\w-]+$/;

/** The value of the header parameter `typ`. */
const PROOF_TYPE = "dbsc+jwt";

/** The public members of a key of each algorithm (RFC 7518 sections 6.2.1 and 6.3.1). */
const KEY_MEMBERS: Record<DeviceAlgorithm, readonly string[]> = {
  ES256: ["crv", "kty", "x", "y"],
  RS256: ["e", "kty", "n"],
};

/** The public exponent of RSA keys. With a smaller one such as 1, anybody could sign. */
const RSA_EXPONENT = "AQAB";

/** The length of `n` in base64url: RSA keys of 2,048 to 4,096 bits. */
const MIN_MODULUS_LENGTH = 342;
const MAX_MODULUS_LENGTH = 683;

/** A proof with a valid signature. */
export interface DeviceProof {
  /** The public key that it was verified with, as it is stored. */
  readonly deviceKey: string;
  /** The challenge that was signed. */
  readonly challenge: string;
}

/**
 * Verifies a proof: a JSON Web Token (RFC 7519) in compact form. Never throws, whatever the client
 * has sent.
 *
 * @param token the header `Secure-Session-Response`
 * @param algorithms the accepted algorithms
 * @param deviceKey the key that the session is bound to; `undefined` for a registration, whose proof
 * contains its key
 * @returns `undefined` if the proof is malformed, or its signature is not valid
 */
export async function verifyProof(
  token: string,
  algorithms: readonly DeviceAlgorithm[],
  deviceKey: string | undefined,
): Promise<DeviceProof | undefined> {
  if (token.length > MAX_PROOF_LENGTH || !TOKEN_PATTERN.test(token)) return undefined;
  let key = deviceKey;
  try {
    const { payload } = await compactVerify(token, (header) => {
      key ??= keyOf(header.jwk);
      // The key decides about the algorithm, and not the token.
      const algorithm = algorithmOf(key);
      if (header.alg !== algorithm || !algorithms.includes(algorithm)) throw new TypeError("the algorithm is refused");
      const members = deviceKey === undefined ? ["alg", "jwk", "typ"] : ["alg", "typ"];
      if (!hasMembers(header, members) || header.typ !== PROOF_TYPE) throw new TypeError("the header is malformed");
      return importJWK(JSON.parse(key), algorithm);
    }, { algorithms: [...algorithms] });
    const claims: { jti?: unknown } | null = JSON.parse(new TextDecoder().decode(payload));
    if (key === undefined || typeof claims?.jti !== "string") return undefined;
    return { deviceKey: key, challenge: claims.jti };
  } catch {
    return undefined;
  }
}

/**
 * Returns a public key as it is stored: as JSON with the members in alphabetical order, so that the
 * same key is always the same text.
 *
 * @throws {TypeError} if it has other members than those of a public key
 */
function keyOf(jwk: JWK | undefined): string {
  const [algorithm, members] =
    Object.entries(KEY_MEMBERS).find(([name]) => jwk?.kty === KEY_TYPES[name as DeviceAlgorithm]) ?? [];
  if (jwk === undefined || members === undefined || !hasMembers(jwk, members)) {
    throw new TypeError("the key is refused");
  }
  const values = members.map((name) => [name, (jwk as Record<string, unknown>)[name]] as const);
  if (values.some(([, value]) => typeof value !== "string")) throw new TypeError("the key is malformed");
  const isAccepted = algorithm === "ES256"
    ? jwk.crv === "P-256"
    : jwk.e === RSA_EXPONENT && isBetween(jwk.n?.length, MIN_MODULUS_LENGTH, MAX_MODULUS_LENGTH);
  if (!isAccepted) throw new TypeError("the key is refused");
  return JSON.stringify(Object.fromEntries(values));
}

function isBetween(value: number | undefined, min: number, max: number): boolean {
  return value !== undefined && value >= min && value <= max;
}

/** Returns whether an object has exactly these members. */
function hasMembers(object: object, names: readonly string[]): boolean {
  const own = Object.keys(object);
  return own.length === names.length && names.every((name) => own.includes(name));
}
