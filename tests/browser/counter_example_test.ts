import { assert, assertEquals, assertNotEquals } from "../helpers/assert.ts";
import { launch, launchProfile, type Page, sessionCookie } from "../helpers/chromium.ts";
import { startExample } from "../helpers/example.ts";

/** Reads the page's counter and state. */
async function read(page: Page): Promise<{ visits: string | null; state: string | null }> {
  return { visits: await page.textContent("#visits"), state: await page.textContent("#state") };
}

Deno.test("examples/counter counts the visits of one browser profile", async () => {
  await using example = await startExample("counter");
  await using browser = await launch();
  const page = await (await browser.newContext()).newPage();

  await page.goto(example.url);
  assertEquals(await read(page), { visits: "1", state: "new" });
  await page.reload();
  assertEquals(await read(page), { visits: "2", state: "not new" });
  await page.reload();
  assertEquals(await read(page), { visits: "3", state: "not new" });

  const other = await (await browser.newContext()).newPage();
  await other.goto(example.url);
  assertEquals(await read(other), { visits: "1", state: "new" });
});

Deno.test("examples/counter shows the session's expiry, a day after the first visit", async () => {
  await using example = await startExample("counter");
  await using browser = await launch();
  const page = await (await browser.newContext()).newPage();

  const before = Date.now();
  await page.goto(example.url);
  const after = Date.now();
  const end = Date.parse(await page.getAttribute("time", "datetime") ?? "");
  const day = 24 * 60 * 60 * 1000;
  assert(before + day <= end && end <= after + day, new Date(end).toISOString());

  await page.reload();
  assertEquals(Date.parse(await page.getAttribute("time", "datetime") ?? ""), end);
});

Deno.test("examples/counter sets a cookie for this host and this browser session only, hidden from scripts", async () => {
  await using example = await startExample("counter");
  await using browser = await launch();
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(example.url);

  const cookie = await sessionCookie(context);
  assertEquals(
    { ...cookie, value: "" },
    {
      name: "sid",
      value: "",
      domain: "localhost",
      path: "/",
      expires: -1,
      httpOnly: true,
      secure: false,
      sameSite: "Lax",
    },
  );
  assertEquals(await page.evaluate("document.cookie"), "");
  // Scripts of this page do see a cookie that is not HttpOnly.
  await context.addCookies([{ name: "plain", value: "1", url: example.url }]);
  assertEquals(await page.evaluate("document.cookie"), "plain=1");
});

Deno.test("examples/counter starts again after a restart of the browser", async () => {
  await using example = await startExample("counter");
  const profile = await Deno.makeTempDir({ prefix: "profile_" });
  try {
    {
      await using context = await launchProfile(profile);
      const page = await context.newPage();
      await page.goto(example.url);
      await page.goto(example.url);
      assertEquals(await read(page), { visits: "2", state: "not new" });
    }
    {
      await using context = await launchProfile(profile);
      const page = await context.newPage();
      await page.goto(example.url);
      assertEquals(await read(page), { visits: "1", state: "new" });
    }
  } finally {
    await Deno.remove(profile, { recursive: true });
  }
});

Deno.test("examples/counter starts again when its button is pressed", async () => {
  await using example = await startExample("counter");
  await using browser = await launch();
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(example.url);
  await page.reload();
  const old = await sessionCookie(context);

  await page.getByRole("button", { name: "Start again" }).click();
  await page.locator("#visits", { hasText: /^1$/ }).waitFor();
  assertEquals(await read(page), { visits: "1", state: "new" });
  assertNotEquals((await sessionCookie(context))?.value, old?.value);

  // The session itself has ended, not only its cookie.
  const thief = await browser.newContext();
  await thief.addCookies([{ name: "sid", value: old?.value ?? "", url: example.url }]);
  const theirs = await thief.newPage();
  await theirs.goto(example.url);
  assertEquals(await read(theirs), { visits: "1", state: "new" });
});
