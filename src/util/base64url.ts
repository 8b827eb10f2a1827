/**
 * Bytes as text in base64url without padding (RFC 4648 section 5).
 *
 * @module
 */

const OPTIONS = { alphabet: "base64url", omitPadding: true } as const;

/** Encodes bytes: 4 characters for each 3 bytes. */
export function encodeBase64Url(bytes: Uint8Array): string {
  return bytes.toBase64(OPTIONS);
}

/** Decodes text of base64url; throws a `SyntaxError` if it is malformed. */
export function decodeBase64Url(text: string): Uint8Array {
  return Uint8Array.fromBase64(text, OPTIONS);
}
