/**
 * Requests to a server whose certificate no authority has signed.
 *
 * @module
 */
import { once } from "node:events";
import { connect } from "node:tls";

/** Returns an HTTP client that trusts the certificate that a server of this machine presents now. */
export async function trustingClient(url: string): Promise<Deno.HttpClient> {
  const { hostname, port } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port), rejectUnauthorized: false });
  try {
    await once(socket, "secureConnect");
    const { raw } = socket.getPeerCertificate();
    const pem = `-----BEGIN CERTIFICATE-----\n${new Uint8Array(raw).toBase64()}\n-----END CERTIFICATE-----\n`;
    return Deno.createHttpClient({ caCerts: [pem] });
  } finally {
    socket.destroy();
  }
}
