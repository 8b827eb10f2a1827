/** The results that Alosaur's `ResponseCache` hook stores and sends. */
import { App, Area, Content, Controller, Get } from "alosaur/mod.ts";
import {
  MemoryResponseCacheStore,
  ResponseCache,
  type ResponseCacheResult,
  type ResponseCacheStore,
  ResponseCacheStoreToken,
} from "alosaur/src/hooks/response-cache/mod.ts";
import { assert, assertEquals, assertStrictEquals } from "../../helpers/assert.ts";
import { serve } from "../../helpers/serve.ts";

let called: string[] = [];
const returned: unknown[] = [];
const stored: ResponseCacheResult<unknown>[] = [];

function recordResult<T>(result: T): T {
  called.push("action");
  returned.push(result);
  return result;
}

/** Records its calls, and stores the objects themselves, as Alosaur's own store does. */
class RecordingStore implements ResponseCacheStore {
  readonly #results = new Map<string, ResponseCacheResult<unknown>>();

  create<T>(hash: string, payload: ResponseCacheResult<T>): Promise<void> {
    called.push(`create ${hash}`);
    stored.push(payload);
    this.#results.set(hash, payload);
    return Promise.resolve();
  }

  delete(hash: string): Promise<void> {
    called.push(`delete ${hash}`);
    this.#results.delete(hash);
    return Promise.resolve();
  }

  get<T>(hash: string): Promise<ResponseCacheResult<T>> {
    called.push(`get ${hash}`);
    return Promise.resolve(this.#results.get(hash) as ResponseCacheResult<T>);
  }
}

const day = 24 * 60 * 60 * 1000;

@Controller("/cached")
class Cached {
  @ResponseCache({ duration: day })
  @Get("/content")
  content(): unknown {
    return recordResult(Content("content", 201));
  }

  @ResponseCache({ duration: day })
  @Get("/text")
  text(): unknown {
    return recordResult("text");
  }

  @ResponseCache({ duration: -1, getHash: () => "hash" })
  @Get("/expired")
  expired(): unknown {
    return recordResult("text");
  }
}

@Area({ controllers: [Cached] })
class CachedArea {}

const providers = [{ token: ResponseCacheStoreToken, useValue: new RecordingStore() }];
const app = new App({ areas: [CachedArea], providers, logging: false });
let visitors = 0;
app.use(/./, {
  onPreRequest({ response }): void {
    response.headers.append("set-cookie", `visitor=${++visitors}`);
    const merge = response.getMergedResult.bind(response);
    response.getMergedResult = () => {
      called.push("merge");
      return merge();
    };
  },
  onPostRequest(): void {
    called.push("post");
  },
});

Deno.test("Alosaur's ResponseCache", async (t) => {
  await using server = await serve(app);

  async function get(path: string): Promise<string[]> {
    called = [];
    return (await server.request(path)).cookies;
  }

  await t.step("stores the object that the action returned, before the merge, under the whole URL", async () => {
    const before = Date.now();
    assertEquals(await get("/cached/content?a=1"), ["visitor=1"]);
    const hash = `${server.url}/cached/content?a=1`;
    assertEquals(called, [`get ${hash}`, "action", `create ${hash}`, "post", "merge"]);
    const [entry] = stored;
    assert(entry);
    assertEquals(Object.keys(entry), ["expires", "result"]);
    assertStrictEquals(entry.result, returned[0]);
    assert(entry.expires >= before + day && entry.expires <= Date.now() + day);
  });

  await t.step("a cache hit runs no action and no onPostRequest, and is merged twice", async () => {
    const cookies = await get("/cached/content?a=1");
    assertEquals(called, [`get ${server.url}/cached/content?a=1`, "merge", "merge"]);
    assertEquals(
      cookies,
      ["visitor=1", "visitor=2", "visitor=2"],
      "the first visitor's cookie once, and the second visitor's twice",
    );
  });

  await t.step("every visitor's cookies are sent to all later visitors", async () => {
    assertEquals(await get("/cached/content?a=1"), [
      ...["visitor=1", "visitor=2", "visitor=2"],
      ...["visitor=3", "visitor=3"],
    ]);
  });

  await t.step("a result that is no action result is stored too, but without cookies", async () => {
    assertEquals(await get("/cached/text"), ["visitor=4"]);
    assertEquals(await get("/cached/text"), ["visitor=5"]);
    assertEquals(called.filter((call) => call === "action"), []);
  });

  await t.step("an expired entry is deleted, and the action runs", async () => {
    await get("/cached/expired");
    await get("/cached/expired");
    assertEquals(called, ["get hash", "delete hash", "action", "create hash", "post", "merge"]);
  });

  await t.step("MemoryResponseCacheStore stores objects, not copies", async () => {
    const store = new MemoryResponseCacheStore();
    const entry = { expires: 1, result: {} };
    await store.create("hash", entry);
    assertStrictEquals(await store.get("hash"), entry);
    await store.delete("hash");
    assertEquals(await store.get("hash"), undefined);
  });

  await t.step("a second application of the process runs the hook twice, with the store of the first", async () => {
    const useValue = new MemoryResponseCacheStore();
    const providers = [{ token: ResponseCacheStoreToken, useValue }];
    await using other = await serve(new App({ areas: [CachedArea], providers, logging: false }));
    const hash = `${other.url}/cached/text`;
    called = [];
    await other.request("/cached/text");
    assertEquals(called, [
      ...[`get ${hash}`, `get ${hash}`],
      ...["action", `create ${hash}`, `create ${hash}`, "post", "merge"],
    ]);
    assertEquals(await useValue.get(hash), undefined);
  });
});
