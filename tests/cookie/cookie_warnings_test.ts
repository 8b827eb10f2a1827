import { assert, assertEquals, assertMatch } from "../helpers/assert.ts";
import { Captured } from "../helpers/console.ts";
import { microtasks } from "../helpers/microtasks.ts";
import { contextOf, merged, start, visit } from "../helpers/request.ts";
import type { SessionOptions } from "../../mod.ts";

const CASES: [string, Partial<SessionOptions>, string, RegExp | undefined][] = [
  ["nothing if the cookie is fine", {}, "http://localhost:8000/", undefined],
  ["Secure over http off localhost", { secure: true, diagnose: true }, "http://app.example/", /drop it.*Safari/],
  ["Secure over http on localhost", { secure: true }, "http://localhost/", /Safari does not/],
  ["Secure over http on 127.0.0.1", { name: "__Host-sid" }, "http://127.0.0.1/", /Safari does not/],
  ["Secure over http on app.localhost", { secure: true }, "http://app.localhost/", /Safari does not/],
  ["Secure over http on 127.1.2.3", { secure: true }, "http://127.1.2.3/", /Safari does not/],
  ["nothing for a host that only begins with 127.", { secure: true }, "http://127.0.0.1.example/", undefined],
  ["Secure over http on [::1]", { secure: true }, "http://[::1]/", /Safari does not/],
  [
    "nothing for Secure over https with a prefix",
    { secure: true, name: "__Secure-sid", diagnose: true },
    "https://app.example/",
    undefined,
  ],
  ["a Domain of another host", { domain: "example.com" }, "http://localhost/", /Domain, example\.com, does not match/],
  [
    "a Domain that is only a suffix of the host's text",
    { domain: "ample.com", diagnose: true },
    "http://example.com/",
    /does not match/,
  ],
  [
    "nothing for a Domain above the host",
    { domain: ".example.com", diagnose: true },
    "http://app.example.com/",
    undefined,
  ],
  [
    "nothing for a Domain that is the host",
    { domain: "Example.com", diagnose: true },
    "http://example.com/",
    undefined,
  ],
  [
    "a Domain from a function of another host",
    { domain: () => "example.com" },
    "http://localhost/",
    /Domain, example\.com, does not match/,
  ],
  ["nothing for a function that returns no Domain", { domain: () => undefined }, "http://localhost/", undefined],
  ["httpOnly false", { httpOnly: false }, "http://localhost/", /not HttpOnly.*Remove httpOnly: false/],
  ["httpOnly false off localhost", { httpOnly: false, diagnose: true }, "http://app.example/", /not HttpOnly/],
  [
    "nothing about httpOnly false with diagnose false",
    { httpOnly: false, diagnose: false },
    "http://localhost/",
    undefined,
  ],
  ["nothing about httpOnly false off localhost", { httpOnly: false }, "http://app.example/", undefined],
  [
    "SameSite=None without Partitioned",
    { sameSite: "None", name: "__Host-sid" },
    "https://localhost/",
    /SameSite=None.*set partitioned to true/,
  ],
  [
    "nothing about SameSite=None with Partitioned",
    { sameSite: "None", partitioned: true, name: "__Host-sid" },
    "https://localhost/",
    undefined,
  ],
  ["a name without a prefix over https", { diagnose: true }, "https://app.example/", /to "__Host-sid".*from this host/],
  [
    "a name without a prefix over https behind a proxy",
    { diagnose: true, trustProxy: true },
    "http://app.example/",
    /to "__Host-sid"/,
  ],
  ["nothing about a name without a prefix unless it is asked for", {}, "https://localhost/", undefined],
  [
    "a name without a prefix and with a Domain",
    { domain: "example.com", name: "shop", diagnose: true },
    "https://example.com/",
    /to "__Secure-shop".*from https only/,
  ],
  [
    "a name without a prefix and with a function for the Domain",
    { domain: () => undefined, diagnose: true },
    "https://example.com/",
    /to "__Secure-sid"/,
  ],
  ["a name without a prefix and with a Path", { path: "/a", diagnose: true }, "https://example.com/", /"__Secure-sid"/],
  ["nothing for another host than this machine", { secure: true }, "http://app.example/", undefined],
  ["nothing for a host that only begins with localhost", { secure: true }, "http://localhost.example/", undefined],
  ["nothing with diagnose false", { secure: true, diagnose: false }, "http://localhost/", undefined],
];

Deno.test("SessionMiddleware warns in development, once for each cause, about", async (t) => {
  for (const [name, options, url, warning] of CASES) {
    await t.step(name, async () => {
      using warnings = new Captured("warn");
      const middleware = start(options);
      for (let i = 0; i < 2; i++) {
        const headers = { "x-forwarded-proto": "https" };
        const response = await visit(middleware, { url, headers }, async ({ security: { session } }) => {
          await session.set("user", "ada");
          return "ok";
        });
        const id = response.headers.get("set-cookie")?.split(/[=.]/)[1] ?? "";
        assert(!warnings.lines.join().includes(id));
      }
      assertEquals(warnings.lines.length, warning === undefined ? 0 : 1);
      if (warning !== undefined) assertMatch(`${warnings.lines[0]}`, warning);
    });
  }
});

Deno.test("SessionMiddleware warns if an uncaught error loses the cookie, and not if the error was answered", async () => {
  using warnings = new Captured("warn");
  const middleware = start();
  const threw = async (answered: boolean, writes = true, url = "http://localhost/"): Promise<void> => {
    const context = contextOf({ url });
    await middleware.onPreRequest(context);
    if (writes) await context.security.session.set("user", "ada");
    context.response.error = new Error("the action threw");
    await middleware.onPostRequest(context);
    if (answered) merged(context);
    await microtasks();
  };
  await threw(true);
  await threw(false, false);
  await threw(false, true, "http://app.example/");
  assertEquals(warnings.lines, []);
  await threw(false);
  await threw(false);
  assertEquals(warnings.lines.length, 1);
  assertMatch(`${warnings.lines[0]}`, /was lost.*app\.error\(\)/);
});
