import { assert, assertEquals, assertNotEquals } from "../_assert.ts";
import { type BrowserContext, launch, type Page, sessionCookie } from "./_chromium.ts";
import { startExample } from "./_example.ts";

const PASSWORD = "open sesame";

async function signIn(page: Page, name: string, password: string): Promise<void> {
  await page.getByLabel("Name").fill(name);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Sign in" }).click();
}

/** The notice on the page, or none. */
async function notice(page: Page): Promise<string | undefined> {
  const [text] = await page.locator(".notice").allTextContents();
  return text;
}

/** Where a visitor with this cookie, and nothing else, lands who asks for the members' page. */
async function landing(context: BrowserContext, url: string, cookie: string | undefined): Promise<string> {
  if (cookie !== undefined) await context.addCookies([{ name: "sid", value: cookie, url }]);
  const page = await context.newPage();
  await page.goto(url);
  return new URL(page.url()).pathname;
}

Deno.test("examples/login sends a stranger to the sign-in page", async () => {
  await using example = await startExample("login");
  await using browser = await launch();
  const context = await browser.newContext();
  assertEquals(await landing(context, example.url, undefined), "/sign-in");
  // Looking around makes no session.
  assertEquals(await context.cookies(), []);
});

Deno.test("examples/login tells once of a wrong password", async () => {
  await using example = await startExample("login");
  await using browser = await launch();
  const page = await (await browser.newContext()).newPage();
  await page.goto(example.url);
  assertEquals(await notice(page), undefined);

  await signIn(page, "Ada", "wrong");
  await page.locator(".notice").waitFor();
  assertEquals(await notice(page), "That name and password do not match.");
  assertEquals(new URL(page.url()).pathname, "/sign-in");

  await page.reload();
  assertEquals(await notice(page), undefined);
  await page.goto(example.url);
  assertEquals(new URL(page.url()).pathname, "/sign-in");
});

Deno.test("examples/login signs in under a new session id, and out again", async (t) => {
  await using example = await startExample("login");
  await using browser = await launch();
  const context = await browser.newContext();
  const page = await context.newPage();
  const name = '<script>document.title = "owned"</script> & "Ada"';

  await page.goto(example.url);
  await signIn(page, "Ada", "wrong");
  await page.locator(".notice").waitFor();
  const before = (await sessionCookie(context))?.value;
  assert(before);

  await t.step("the members' page shows the name as text, and the notice once", async () => {
    await signIn(page, name, PASSWORD);
    await page.waitForURL(example.url);
    assertEquals(await page.textContent("#user"), name);
    assertEquals(await page.locator("script").count(), 0);
    assertEquals(await page.title(), "Members only");
    assertEquals(await notice(page), "You have signed in.");

    await page.reload();
    assertEquals(await page.textContent("#user"), name);
    assertEquals(await notice(page), undefined);
  });

  const after = (await sessionCookie(context))?.value;
  await t.step("the cookie from before the sign-in is another, and leads nowhere", async () => {
    assert(after);
    assertNotEquals(after, before);
    assertEquals(await landing(await browser.newContext(), example.url, before), "/sign-in");
    assertEquals(await landing(await browser.newContext(), example.url, after), "/");
  });

  await t.step("signing out shows its notice once", async () => {
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.waitForURL("**/sign-in");
    assertEquals(await notice(page), "You have signed out.");
    await page.reload();
    assertEquals(await notice(page), undefined);
  });

  await t.step("the back button brings no members' page back", async () => {
    await page.goBack();
    assertEquals(await page.locator("#user").count(), 0);
    assertEquals(new URL(page.url()).pathname, "/sign-in");
  });

  await t.step("the members' page is closed, also to the cookie that opened it", async () => {
    await page.goto(example.url);
    assertEquals(new URL(page.url()).pathname, "/sign-in");
    assertEquals(await landing(await browser.newContext(), example.url, after), "/sign-in");
  });
});
