/**
 * The session cookie: found in a request's header, written as a `Set-Cookie` line.
 *
 * @module
 */
import { setCookie } from "../../deps.ts";
import type { ResolvedOptions } from "../options.ts";

/** Several cookies of one name come from different Paths and Domains; more than these nobody has by accident. */
const MAX_PRESENTED = 4;

/** Reads and writes the cookie of one name. Attributes come from the options alone. */
export class SessionCookie {
  /** The cookie's name. */
  readonly name: string;
  readonly #settings: ResolvedOptions;
  readonly #prefix: string;
  // Serialising is most of what a cookie costs, and every line of an application ends in one of two ways.
  readonly #attributes: string;
  readonly #secureAttributes: string;

  constructor(settings: ResolvedOptions) {
    this.#settings = settings;
    this.name = settings.name;
    this.#prefix = `${settings.name}=`;
    this.#attributes = this.#serializeAttributes(false, undefined, settings.expires);
    this.#secureAttributes = this.#serializeAttributes(true, undefined, settings.expires);
  }

  /**
   * Finds this cookie in a Cookie header. Whatever else the header holds is passed over.
   *
   * Note: std's `getCookies()` throws on a header such as `=;;;=`, and keeps only the last of several cookies of one name.
   *
   * @param header the header as the client sent it
   * @returns the first four pairs of name and value, in their order, each once. A header that is nothing else is returned itself: V8 has to look
   * at a part of a string several times as long.
   */
  read(header: string): string[] {
    let pairs: string[] = [];
    const prefix = this.#prefix;
    let count = 0;
    for (let at = header.indexOf(prefix); at !== -1 && count < MAX_PRESENTED; at = header.indexOf(prefix, at + 1)) {
      if (!beginsPair(header, at)) continue;
      count++;
      const end = header.indexOf(";", at);
      const pair = this.#trimmed(header.slice(at, end === -1 ? undefined : end));
      // Nearly always it is the only one: `push()` would make room for 17.
      if (pairs.length === 0) pairs = [pair];
      else if (!pairs.includes(pair)) pairs.push(pair);
    }
    return pairs;
  }

  /** A pair without blanks around its value. */
  #trimmed(pair: string): string {
    const { length } = this.#prefix;
    if (!isBlank(pair[length]) && !isBlank(pair[pair.length - 1])) return pair;
    return this.#prefix + pair.slice(length).trim();
  }

  /**
   * Writes the line that gives the client the cookie.
   *
   * @param value the signed id
   * @param secure whether the cookie is for https alone
   * @param until the end of the cookie, in milliseconds since the epoch; Max-Age is what is left of it
   */
  serialize(value: string, secure: boolean, until: number): string {
    const maxAge = this.#settings.maxAge === undefined ? "" : `; Max-Age=${secondsUntil(until)}`;
    return this.#prefix + value + (secure ? this.#secureAttributes : this.#attributes) + maxAge;
  }

  /** Writes the line that takes the cookie from the client: the attributes it was set with, and a moment long past. */
  serializeDeletion(secure: boolean): string {
    return this.#prefix + this.#serializeAttributes(secure, 0, 0);
  }

  /** Tells whether a `Set-Cookie` line is of this name. */
  matches(line: string): boolean {
    return line.trimStart().startsWith(this.#prefix);
  }

  /** What follows the value. */
  #serializeAttributes(secure: boolean, maxAge: number | undefined, expires: number | undefined): string {
    const settings = this.#settings;
    const scratch = new Headers();
    setCookie(scratch, {
      name: this.name,
      value: "",
      path: settings.path,
      domain: settings.domain,
      maxAge,
      expires: expires === undefined ? undefined : new Date(expires),
      httpOnly: settings.httpOnly,
      secure,
      sameSite: settings.sameSite,
    });
    return (scratch.get("set-cookie") ?? "").slice(this.#prefix.length);
  }
}

/** Tells whether a `Set-Cookie` line takes a cookie away: no value, or a life that is over (RFC 6265 section 5.3). */
export function isDeletion(line: string): boolean {
  const [pair = "", ...attributes] = line.split(";");
  if (pair.slice(pair.indexOf("=") + 1).trim() === "") return true;
  const value = (name: string): string | undefined =>
    attributes.map((attribute) => attribute.trim()).find((attribute) => attribute.toLowerCase().startsWith(`${name}=`))
      ?.slice(name.length + 1);
  const maxAge = value("max-age");
  if (maxAge !== undefined) return Number(maxAge) <= 0;
  return Date.parse(value("expires") ?? "") <= Date.now();
}

/** Tells whether a cookie pair may begin at `at`: at the start, or after a separator and blanks. */
function beginsPair(header: string, at: number): boolean {
  while (at > 0 && isBlank(header[at - 1])) at--;
  return at === 0 || header[at - 1] === ";";
}

function isBlank(character: string | undefined): boolean {
  return character === " " || character === "\t";
}

/** Rounded up, so that a session of a minute says 60 and not 59. */
function secondsUntil(moment: number): number {
  return Math.max(1, Math.ceil((moment - Date.now()) / 1000));
}
