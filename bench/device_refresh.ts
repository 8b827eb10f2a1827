/**
 * Measures a refresh of a bound session: the two requests that a browser sends to the endpoint, and
 * the writes that they cause.
 *
 * @module
 */
import { MemoryStore, SessionMiddleware } from "../mod.ts";
import { type DeviceAlgorithm, DeviceBoundMiddleware } from "../src/device_bound_middleware.ts";
import { DeviceBrowser, serverOf, signInAction } from "../tests/helpers/device_browser.ts";
import { median } from "./statistics.ts";

/** A refresh with one algorithm. */
export interface RefreshResult {
  algorithm: DeviceAlgorithm;
  /** Microseconds on the server, the median: the request that gets the challenge, and the proof. */
  microseconds: number;
  /** The writes to the store during all refreshes. */
  writes: number;
}

/** Measures refreshes with one algorithm. */
export async function measureRefresh(algorithm: DeviceAlgorithm, rounds: number): Promise<RefreshResult> {
  const store = new MemoryStore();
  await store.init();
  let writes = 0;
  await store.watch(() => writes++);
  const sessions = new SessionMiddleware(store, { secret: SessionMiddleware.generateSecret() });
  const devices = new DeviceBoundMiddleware(sessions);
  let elapsed = 0;
  const serve = serverOf(sessions, devices, { "/sign-in": signInAction });
  const browser = new DeviceBrowser(async (request) => {
    const start = performance.now();
    const response = await serve(request);
    elapsed += performance.now() - start;
    return response;
  }, { algorithm });
  await browser.request("/sign-in");
  const times: number[] = [];
  writes = 0;
  for (let round = 0; round < rounds; round++) {
    elapsed = 0;
    const response = await browser.refresh();
    if (response?.status !== 200) throw new Error(`Cannot measure a refresh: status ${response?.status}`);
    times.push(elapsed * 1000);
  }
  return { algorithm, microseconds: median(times), writes };
}
