/**
 * Makes a certificate for https://localhost, in memory.
 *
 * @module
 */
import { generate } from "npm:selfsigned@5.5.0";

/** A certificate that no authority has signed. */
export interface Certificate {
  /** The certificate in PEM format. */
  readonly cert: string;
  /** Its private key in PEM format. */
  readonly key: string;
  /** The flag with which Chromium accepts it. Browsers bind sessions only if the certificate is valid. */
  readonly chromiumFlag: string;
}

/** Makes a certificate for localhost and 127.0.0.1. It is valid for a year. */
export async function makeCertificate(): Promise<Certificate> {
  const name = [{ name: "commonName", value: "localhost" }];
  const made = await generate(name, { keyType: "ec", algorithm: "sha256" });
  const publicKey = Uint8Array.fromBase64(made.public.replaceAll(/-----.*-----/g, ""));
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", publicKey));
  return {
    cert: made.cert,
    key: made.private,
    chromiumFlag: `--ignore-certificate-errors-spki-list=${hash.toBase64()}`,
  };
}
