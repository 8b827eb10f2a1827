/**
 * Chromium with device-bound sessions, whose keys it keeps in software because a test machine has
 * no TPM.
 *
 * @module
 */
import { withTimeout } from "../../src/util/timeout.ts";
import type { Browser, BrowserContext, Page } from "../helpers/chromium.ts";

/** The flag with which Chromium binds sessions and keeps the keys in software. */
export const BOUND = "--enable-features=EnableBoundSessionCredentialsSoftwareKeysForManualTesting,DeviceBoundSessions";

/** The same without the quota of six signatures in nine minutes, for tests that refresh often. */
export const WITHOUT_QUOTA = `${BOUND}:RefreshQuota/false`;

/** The name of the bound cookie of a session cookie with the default name. */
export const BOUND_COOKIE = "__Host-sid-bound";

/** What a browser has done with its bound sessions. Each has a line, such as `"refreshed: Success"`. */
export class DeviceEvents {
  readonly #seen: string[] = [];
  #next = Promise.withResolvers<void>();

  /** Observes a browser from now on. */
  static async of(page: Page): Promise<DeviceEvents> {
    const events = new DeviceEvents();
    const protocol = await page.context().newCDPSession(page);
    protocol.on("Network.deviceBoundSessionEventOccurred", (event) => {
      const { creationEventDetails, refreshEventDetails, terminationEventDetails } = event;
      if (creationEventDetails) events.#add(`created: ${creationEventDetails.fetchResult}`);
      if (refreshEventDetails) events.#add(`refreshed: ${refreshEventDetails.fetchResult}`);
      if (terminationEventDetails) events.#add(`ended: ${terminationEventDetails.deletionReason}`);
    });
    await protocol.send("Network.enable");
    await protocol.send("Network.enableDeviceBoundSessions", { enable: true });
    return events;
  }

  /** Waits for this number of events since the last call. Returns all of them since then. */
  async take(count: number): Promise<string[]> {
    while (this.#seen.length < count) await soon(this.#next.promise, "the browser reports nothing about its sessions");
    return this.#seen.splice(0);
  }

  #add(event: string): void {
    this.#seen.push(event);
    this.#next.resolve();
    this.#next = Promise.withResolvers();
  }
}

/** Waits for a promise for as long as Playwright waits for a page. */
export function soon<T>(promise: Promise<T>, complaint: string): Promise<T> {
  return withTimeout(promise, 30, () => new Error(complaint));
}

/** A window of a browser that has not visited anything yet. */
export interface Visitor {
  readonly context: BrowserContext;
  readonly page: Page;
  readonly devices: DeviceEvents;
}

/** Opens a window with cookies of its own. */
export async function openWindow(browser: Browser): Promise<Visitor> {
  return await openPage(await browser.newContext());
}

/** Opens another tab. */
export async function openPage(context: BrowserContext): Promise<Visitor> {
  const page = await context.newPage();
  return { context, page, devices: await DeviceEvents.of(page) };
}

/** Lets the bound cookie expire in the browser. */
export async function expireBoundCookie(context: BrowserContext): Promise<void> {
  await context.clearCookies({ name: BOUND_COOKIE });
}

/** Returns the identifiers of the bound sessions that a browser has. */
export async function boundSessions(page: Page): Promise<string[]> {
  const protocol = await page.context().newCDPSession(page);
  const listed = Promise.withResolvers<string[]>();
  protocol.on("Network.deviceBoundSessionsAdded", ({ sessions }) => listed.resolve(sessions.map(({ key }) => key.id)));
  await protocol.send("Network.enable");
  await protocol.send("Network.enableDeviceBoundSessions", { enable: true });
  const identifiers = await listed.promise;
  await protocol.detach();
  return identifiers;
}
