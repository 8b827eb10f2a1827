/** A browser with Device Bound Session Credentials, in a few lines, and the server of its requests. */
import type { Context, SessionMiddleware } from "../../mod.ts";
import type { DeviceAlgorithm, DeviceBoundMiddleware } from "../../src/device_bound_middleware.ts";
import { encodeBase64Url } from "../../src/util/base64url.ts";
import { contextOf, merged, setCookies } from "./request.ts";

export const ORIGIN = "https://shop.example";
export const ENDPOINT = "/.session/device";

/** The headers with which a browser sends a registration or a refresh. */
export const BROWSER_METADATA = {
  "sec-fetch-site": "same-origin",
  "sec-fetch-mode": "no-cors",
  "sec-fetch-dest": "empty",
};

/** The action of a path. */
export type Actions = Record<string, (context: ReturnType<typeof contextOf>) => unknown>;

/** Answers a request. */
export type Server = (request: DeviceRequest) => Promise<Response>;

/** A request as it reaches the server. */
export interface DeviceRequest {
  path: string;
  method: string;
  headers: Record<string, string>;
  cookie: string | undefined;
}

/** Returns a server with both middlewares. An unknown path is answered with "ok". */
export function serverOf(
  sessions: SessionMiddleware,
  devices: DeviceBoundMiddleware | undefined,
  actions: Actions = {},
): Server {
  return async ({ path, method, headers, cookie }) => {
    const context = contextOf({ url: ORIGIN + path, method, headers, cookie });
    await sessions.onPreRequest(context);
    const response = await devices?.onPreRequest(context);
    if (response !== undefined) return response;
    context.response.result = await actions[path]?.(context) ?? "ok";
    // As Alosaur does.
    if (!context.response.isImmediately()) await sessions.onPostRequest(context);
    return merged(context as Context);
  };
}

/** Signs a user in. For {@linkcode Actions}. */
export async function signInAction({ security }: ReturnType<typeof contextOf>): Promise<string> {
  await security.session.regenerate({ principal: "ada" });
  return "welcome";
}

/** What a browser sends with a request. */
export interface BrowserRequest {
  method?: string;
  headers?: Record<string, string>;
  /** Whether the address bar shows the response. */
  isPage?: boolean;
  /** The header Sec-Fetch-Site. */
  site?: "none" | "same-origin" | "same-site" | "cross-site";
}

/** The key of a device. */
export class DeviceKey {
  private constructor(readonly algorithm: DeviceAlgorithm, readonly pair: CryptoKeyPair) {}

  static async create(algorithm: DeviceAlgorithm = "ES256"): Promise<DeviceKey> {
    const parameters = algorithm === "ES256" ? { name: "ECDSA", namedCurve: "P-256" } : {
      name: "RSASSA-PKCS1-v1_5",
      modulusLength: 2048,
      publicExponent: new Uint8Array([1, 0, 1]),
      hash: "SHA-256",
    };
    const pair = await crypto.subtle.generateKey(parameters, true, ["sign", "verify"]);
    return new DeviceKey(algorithm, pair as CryptoKeyPair);
  }

  /** The public key as Chromium sends it. */
  async jwk(): Promise<Record<string, string>> {
    const { kty = "", crv = "", x = "", y = "", n = "", e = "" } = await crypto.subtle.exportKey(
      "jwk",
      this.pair.publicKey,
    );
    return this.algorithm === "ES256" ? { crv, kty, x, y } : { e, kty, n };
  }

  /** Signs a token. */
  async sign(header: unknown, payload: unknown): Promise<string> {
    const text = [header, payload].map((part) =>
      encodeBase64Url(new TextEncoder().encode(typeof part === "string" ? part : JSON.stringify(part)))
    ).join(".");
    const name = this.algorithm === "ES256" ? "ECDSA" : "RSASSA-PKCS1-v1_5";
    const signature = await crypto.subtle.sign(
      { name, hash: "SHA-256" },
      this.pair.privateKey,
      new TextEncoder().encode(text),
    );
    return `${text}.${encodeBase64Url(new Uint8Array(signature))}`;
  }

  async registration(challenge: string): Promise<string> {
    return await this.sign({ alg: this.algorithm, jwk: await this.jwk(), typ: "dbsc+jwt" }, { jti: challenge });
  }

  async refresh(challenge: string): Promise<string> {
    return await this.sign({ alg: this.algorithm, typ: "dbsc+jwt" }, { jti: challenge });
  }
}

/** The bound session of a browser. */
interface BoundSession {
  readonly identifier: string;
  readonly refreshUrl: string;
  readonly cookie: string;
  readonly key: DeviceKey;
}

/** A browser. It holds a request whose bound cookie has expired, and refreshes first. */
export class DeviceBrowser {
  readonly cookies = new Map<string, { value: string; expiresAt: number }>();
  bound: BoundSession | undefined = undefined;
  /** The endpoint's answers: "registration 200", "refresh 403", … */
  readonly log: string[] = [];
  readonly #server: Server;
  readonly #algorithm: DeviceAlgorithm;
  readonly #hasSupport: boolean;

  constructor(server: Server, { algorithm = "ES256", hasSupport = true }: {
    algorithm?: DeviceAlgorithm;
    hasSupport?: boolean;
  } = {}) {
    this.#server = server;
    this.#algorithm = algorithm;
    this.#hasSupport = hasSupport;
  }

  /** The Cookie header. */
  get cookie(): string | undefined {
    const live = Array.from(this.cookies).filter(([, { expiresAt }]) => Date.now() < expiresAt);
    return live.length === 0 ? undefined : live.map(([name, { value }]) => `${name}=${value}`).join("; ");
  }

  /** Copies all cookies, as malware does. */
  steal(...names: string[]): string {
    return Array.from(this.cookies).filter(([name]) => names.length === 0 || names.includes(name))
      .map(([name, { value }]) => `${name}=${value}`).join("; ");
  }

  /** Sends a request. Registers and refreshes as Chromium does. */
  async request(
    path: string,
    { method = "GET", headers = {}, isPage = true, site = "none" }: BrowserRequest = {},
  ): Promise<Response> {
    const isForeign = site === "cross-site" || site === "same-site";
    if (this.bound !== undefined && !this.#holds(this.bound.cookie) && !isForeign) await this.refresh();
    const response = await this.send({
      path,
      method,
      headers: {
        "sec-fetch-site": site,
        "sec-fetch-mode": isPage ? "navigate" : "cors",
        "sec-fetch-dest": isPage ? "document" : "empty",
        ...headers,
      },
    });
    const offer = response.headers.get("secure-session-registration");
    if (offer !== null && this.#hasSupport) await this.register(offer);
    return response;
  }

  /** Sends a request as it is, and keeps the cookies of the response. */
  async send(request: Omit<DeviceRequest, "cookie">): Promise<Response> {
    const response = await this.#server({ ...request, cookie: this.cookie });
    for (const { name, value, attributes } of setCookies(response.headers)) {
      const seconds = attributes["max-age"];
      const expiresAt = seconds === undefined ? Infinity : Date.now() + Number(seconds) * 1000;
      if (expiresAt <= Date.now() || value === "") this.cookies.delete(name);
      else this.cookies.set(name, { value, expiresAt });
    }
    return response;
  }

  /** Registers a new key. */
  async register(offer: string, key?: DeviceKey): Promise<Response> {
    const [, path = "", challenge = ""] = /^\([\w ]+\);path="([^"]+)";challenge="([^"]+)"$/.exec(offer) ?? [];
    const used = key ?? await DeviceKey.create(this.#algorithm);
    const response = await this.post(path, { "secure-session-response": await used.registration(challenge) });
    this.log.push(`registration ${response.status}`);
    if (response.ok) await this.#accept(response, used);
    return response;
  }

  /** Sends a request to the endpoint, with the Fetch Metadata of Chromium. */
  async post(path: string, headers: Record<string, string>): Promise<Response> {
    return await this.send({ path, method: "POST", headers: { ...BROWSER_METADATA, ...headers } });
  }

  /** Proves that the browser holds the key. Ends the bound session as Chromium does. */
  async refresh(): Promise<Response | undefined> {
    const { bound } = this;
    if (bound === undefined) return undefined;
    const id = { "sec-secure-session-id": bound.identifier };
    let response = await this.post(bound.refreshUrl, id);
    for (let attempt = 0; attempt < 4 && response.status === 403; attempt++) {
      const [, challenge, name] =
        /^"([^"]+)";id="([^"]+)"$/.exec(response.headers.get("secure-session-challenge") ?? "") ??
          [];
      if (challenge === undefined || name !== bound.identifier) break;
      const proof = await bound.key.refresh(challenge);
      response = await this.post(bound.refreshUrl, { ...id, "secure-session-response": proof });
    }
    this.log.push(`refresh ${response.status}`);
    if (response.ok) await this.#accept(response, bound.key);
    else if (response.status < 500) this.bound = undefined;
    return response;
  }

  #holds(name: string): boolean {
    const cookie = this.cookies.get(name);
    return cookie !== undefined && Date.now() < cookie.expiresAt;
  }

  async #accept(response: Response, key: DeviceKey): Promise<void> {
    const instructions = await response.clone().json();
    this.bound = instructions.continue === false ? undefined : {
      identifier: instructions.session_identifier,
      refreshUrl: instructions.refresh_url,
      cookie: instructions.credentials[0].name,
      key,
    };
  }
}
