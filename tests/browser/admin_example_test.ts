import { assert, assertEquals, assertMatch } from "../helpers/assert.ts";
import { type Browser, launch, type Page } from "../helpers/chromium.ts";
import { startExample } from "../helpers/example.ts";

const PASSWORD = "open sesame";

/** Signs in from a browser of its own. */
async function signIn(browser: Browser, url: string, name: string): Promise<Page> {
  const page = await (await browser.newContext()).newPage();
  await page.goto(url);
  await page.getByLabel("Name").fill(name);
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.locator("#user").waitFor();
  return page;
}

/** Returns the users on the page with their sessions, sorted by name. */
async function users(page: Page): Promise<string[]> {
  const items = await page.locator("#users li").all();
  const texts = items.map(async (item) => {
    return `${await item.locator("strong").textContent()}: ${await item.locator(".quiet").textContent()}`;
  });
  return (await Promise.all(texts)).sort();
}

/** Reloads a page and returns the path of the page that is shown then. */
async function reloaded(page: Page): Promise<string> {
  await page.reload();
  return new URL(page.url()).pathname;
}

Deno.test("examples/admin shows an administrator who is signed in, and ends the sessions of one user", async (t) => {
  await using example = await startExample("admin");
  await using browser = await launch();
  const laptop = await signIn(browser, example.url, "Ada");
  const phone = await signIn(browser, example.url, "Ada");
  const bob = await signIn(browser, example.url, "Bob <b>");
  const visitor = await (await browser.newContext()).newPage();
  await visitor.goto(example.url);
  const admin = await signIn(browser, example.url, "admin");

  await t.step("the page counts all sessions, and lists the users", async () => {
    assertEquals(await admin.locator("#count").textContent(), "5 sessions, 4 of them signed in.");
    assertEquals(await users(admin), ["Ada: 2 sessions", "Bob <b>: 1 session", "admin: 1 session"]);
  });

  await t.step("other users do not see it", async () => {
    for (const page of [laptop, bob]) {
      assertEquals(await page.locator("#users").count(), 0);
      assertEquals(await page.getByRole("button").allTextContents(), ["Sign out"]);
    }
  });

  await t.step("the administrator ends the sessions of one user", async () => {
    await admin.getByRole("button", { name: "Sign out Ada" }).click();
    await admin.getByText("3 sessions, 2 of them signed in.").waitFor();
    assertEquals(await users(admin), ["Bob <b>: 1 session", "admin: 1 session"]);
    for (const page of [laptop, phone]) assertEquals(await reloaded(page), "/sign-in");
    for (const page of [bob, admin]) assertEquals(await reloaded(page), "/");
  });

  await t.step("the administrator keeps the session of this browser", async () => {
    const other = await signIn(browser, example.url, "admin");
    await admin.getByRole("button", { name: "Sign out admin" }).click();
    await admin.getByText("2 of them signed in.").waitFor();
    assertEquals([await reloaded(admin), await reloaded(other)], ["/", "/sign-in"]);
  });
});

Deno.test("examples/admin shows many users on several pages", async () => {
  await using example = await startExample("admin");
  await using browser = await launch();
  const names = Array.from({ length: 24 }, (_, n) => `user & ${n}`);
  for (const name of names) {
    const body = `${new URLSearchParams({ name, password: PASSWORD })}`;
    const headers = { "sec-fetch-site": "same-origin", "content-type": "application/x-www-form-urlencoded" };
    const response = await fetch(new URL("/sign-in", example.url), {
      method: "POST",
      headers,
      body,
      redirect: "manual",
    });
    await response.body?.cancel();
    assertEquals([response.status, response.headers.get("location")], [302, "/"]);
  }
  const admin = await signIn(browser, example.url, "admin");
  const more = admin.getByRole("link", { name: "More users" });
  const seen: string[] = [];
  for (const expected of [10, 10, 5]) {
    const page = await users(admin);
    assertEquals(page.length, expected);
    seen.push(...page);
    if (expected === 10) await more.click();
  }
  assertEquals(await more.count(), 0);
  assertEquals(seen.sort(), [...names, "admin"].map((name) => `${name}: 1 session`).sort());
  // Whatever the address says.
  for (const after of ["", "%00", "%ED%A0%80", "x".repeat(1000)]) {
    await admin.goto(`${example.url}?after=${after}`);
    assert(await admin.locator("#users li").count() > 0);
  }
});

Deno.test("examples/admin signs everybody out, and starts anew", async (t) => {
  await using example = await startExample("admin");
  await using browser = await launch();
  const ada = await signIn(browser, example.url, "Ada");
  const admin = await signIn(browser, example.url, "admin");

  await t.step("only the administrator may do that", async () => {
    const [cookie] = await ada.context().cookies();
    for (const path of ["/everybody/end", "/users/end"]) {
      const response = await fetch(new URL(path, example.url), {
        method: "POST",
        headers: {
          cookie: `sid=${cookie?.value}`,
          "content-type": "application/x-www-form-urlencoded",
          "sec-fetch-site": "same-origin",
        },
        body: "user=admin",
      });
      assertEquals(response.status, 403);
      assertMatch(await response.text(), /Only the administrator/);
    }
    assertEquals([await reloaded(ada), await reloaded(admin)], ["/", "/"]);
  });

  await t.step("a request that is under way then fails", async () => {
    const [cookie] = await ada.context().cookies();
    // The session is loaded with the headers. The action waits for the body, which is held back.
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
    const body = writable.getWriter();
    const answer = fetch(new URL("/sign-in", example.url), {
      method: "POST",
      headers: {
        cookie: `sid=${cookie?.value}`,
        "content-type": "application/x-www-form-urlencoded",
        "sec-fetch-site": "same-origin",
      },
      body: readable,
      redirect: "manual",
    });
    await body.write(new TextEncoder().encode(`password=${encodeURIComponent(PASSWORD)}&name=`));
    await admin.getByRole("button", { name: "Sign everybody out" }).click();
    await admin.getByRole("heading", { name: "Everybody is signed out" }).waitFor();
    await body.write(new TextEncoder().encode("Ada"));
    await body.close();
    const response = await answer;
    assertEquals([response.status, response.headers.getSetCookie()], [409, []]);
    assertMatch(await response.text(), /Your session has ended/);
  });

  await t.step("everybody has to sign in again, the administrator too", async () => {
    assertEquals(await reloaded(ada), "/sign-in");
    await admin.getByRole("link", { name: "Sign in again" }).click();
    assertEquals(new URL(admin.url()).pathname, "/sign-in");
    const again = await signIn(browser, example.url, "admin");
    assertEquals(await users(again), ["admin: 1 session"]);
  });
});
