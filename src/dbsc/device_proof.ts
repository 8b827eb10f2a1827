/**
 * Verifies what a browser signs with the key of a device.
 *
 * @module
 */
import { compactVerify, decodeJwt, importJWK, type JWK } from "npm:jose@6.2.18";
import { algorithmOf, KEY_TYPES } from "../core/session_device.ts";
import type { DeviceAlgorithm } from "../session_types.ts";

/** The longest accepted proof, in characters. With an RSA key of 4,096 bits it has about 2,500. */
const MAX_PROOF_LENGTH = 4096;

/** Three parts in base64url without padding (RFC 7515 section 7.1). The library also accepts padding. */
const TOKEN_PATTERN = /^[\w-]+\.[\w-]+\.[\w-]+$/;

/** The value of the header parameter `typ`. */
const PROOF_TYPE = "dbsc+jwt";

/** The public exponent of the RSA keys of browsers: 65,537. With 1, anybody could sign. */
const RSA_EXPONENT = "AQAB";

/** 32 bytes in base64url: a coordinate of P-256. */
const COORDINATE_PATTERN = /^[\w-]{43}$/;

/** 256 to 512 bytes in base64url: RSA keys of 2,048 to 4,096 bits. */
const MODULUS_PATTERN = /^[\w-]{342,683}$/;

/**
 * Returns the challenge of a proof whose signature was not verified: a JSON Web Token (RFC 7519) in
 * compact form. Never throws, whatever the client has sent.
 *
 * @param token the header `Secure-Session-Response`
 * @returns `undefined` if the proof is malformed
 */
export function readChallenge(token: string): string | undefined {
  if (token.length > MAX_PROOF_LENGTH || !TOKEN_PATTERN.test(token)) return undefined;
  try {
    const { jti }: { jti?: unknown } = decodeJwt(token);
    return typeof jti === "string" ? jti : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Verifies the signature of a proof. Never throws, whatever the client has sent.
 *
 * @param token a proof that has a challenge
 * @param algorithms the accepted algorithms
 * @param deviceKey the key that the session is bound to; `undefined` for a registration, whose
 * proof contains its key
 * @returns the public key that it was verified with, as it is stored; `undefined` if the header is
 * malformed, or the signature is not valid
 */
export async function verifyProof(
  token: string,
  algorithms: readonly DeviceAlgorithm[],
  deviceKey: string | undefined,
): Promise<string | undefined> {
  let key = deviceKey;
  try {
    await compactVerify(token, (header) => {
      key ??= keyOf(header.jwk);
      // The key decides about the algorithm, and not the token.
      const algorithm = algorithmOf(key);
      if (header.alg !== algorithm) throw new TypeError("the algorithm is refused");
      const members = deviceKey === undefined ? ["alg", "jwk", "typ"] : ["alg", "typ"];
      if (!hasMembers(header, members) || header.typ !== PROOF_TYPE) throw new TypeError("the header is malformed");
      return importJWK(JSON.parse(key), algorithm);
    }, { algorithms: [...algorithms] });
    return key;
  } catch {
    return undefined;
  }
}

/**
 * Returns a public key as it is stored: as JSON with the members in alphabetical order, so that the
 * same key is always the same text.
 *
 * @throws {TypeError} if it is not a public key (RFC 7518 sections 6.2.1 and 6.3.1) of an accepted
 * type, or has other members
 */
function keyOf(jwk: JWK | undefined): string {
  if (jwk?.kty === KEY_TYPES.ES256) {
    const { kty, crv, x, y } = jwk;
    if (crv === "P-256" && matches(COORDINATE_PATTERN, x) && matches(COORDINATE_PATTERN, y)) {
      if (hasMembers(jwk, ["crv", "kty", "x", "y"])) return JSON.stringify({ crv, kty, x, y });
    }
  } else if (jwk?.kty === KEY_TYPES.RS256) {
    const { kty, n, e } = jwk;
    if (e === RSA_EXPONENT && matches(MODULUS_PATTERN, n) && hasMembers(jwk, ["e", "kty", "n"])) {
      return JSON.stringify({ e, kty, n });
    }
  }
  throw new TypeError("the key is refused");
}

function matches(pattern: RegExp, value: unknown): boolean {
  return typeof value === "string" && pattern.test(value);
}

/** Returns whether an object has exactly these members. */
function hasMembers(object: object, names: readonly string[]): boolean {
  const own = Object.keys(object);
  return own.length === names.length && names.every((name) => own.includes(name));
}
