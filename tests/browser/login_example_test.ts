import { assert, assertEquals, assertMatch, assertNotEquals } from "../helpers/assert.ts";
import {
  type Browser,
  type BrowserContext,
  launch,
  launchProfile,
  type Page,
  sessionCookie,
} from "../helpers/chromium.ts";
import { startExample } from "../helpers/example.ts";

const PASSWORD = "open sesame";

async function signIn(page: Page, name: string, password: string, remember = false): Promise<void> {
  await page.getByLabel("Name").fill(name);
  await page.getByLabel("Password").fill(password);
  await page.getByLabel("Remember me").setChecked(remember);
  await page.getByRole("button", { name: "Sign in" }).click();
}

/** Returns the notice on the page, if there is one. */
async function notice(page: Page): Promise<string | undefined> {
  const [text] = await page.locator(".notice").allTextContents();
  return text;
}

/**
 * Opens the members' page with nothing but this cookie; returns the path of the page that is shown.
 */
async function landing(context: BrowserContext, url: string, cookie: string | undefined): Promise<string> {
  if (cookie !== undefined) await context.addCookies([{ name: "sid", value: cookie, url }]);
  const page = await context.newPage();
  await page.goto(url);
  return new URL(page.url()).pathname;
}

Deno.test("examples/login redirects a new visitor to the sign-in page", async () => {
  await using example = await startExample("login");
  await using browser = await launch();
  const context = await browser.newContext();
  // The redirect creates no session. The page with the form does, for its token.
  const knocked = await fetch(example.url, { redirect: "manual" });
  assertEquals([knocked.status, knocked.headers.getSetCookie()], [302, []]);
  assertEquals(await landing(context, example.url, undefined), "/sign-in");
  assert(await sessionCookie(context));
});

Deno.test("examples/login shows the notice about a wrong password once", async () => {
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

Deno.test("examples/login signs in under a new session id, and signs out", async (t) => {
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
  await t.step("the cookie from before the sign-in is no longer accepted", async () => {
    assert(after);
    assertNotEquals(after, before);
    assertEquals(await landing(await browser.newContext(), example.url, before), "/sign-in");
    assertEquals(await landing(await browser.newContext(), example.url, after), "/");
  });

  await t.step("signing out shows its notice once", async () => {
    await page.getByRole("button", { name: "Sign out", exact: true }).click();
    await page.waitForURL("**/sign-in");
    assertEquals(await notice(page), "You have signed out.");
    await page.reload();
    assertEquals(await notice(page), undefined);
  });

  await t.step("the back button does not show the members' page", async () => {
    await page.goBack();
    assertEquals(await page.locator("#user").count(), 0);
    assertEquals(new URL(page.url()).pathname, "/sign-in");
  });

  await t.step("the members' page is not shown again, even with the cookie from before the sign-out", async () => {
    await page.goto(example.url);
    assertEquals(new URL(page.url()).pathname, "/sign-in");
    assertEquals(await landing(await browser.newContext(), example.url, after), "/sign-in");
  });
});

const FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:146.0) Gecko/20100101 Firefox/146.0";
const IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) " +
  "Version/18.6 Mobile/15E148 Safari/604.1";

/** Signs in with a browser profile of its own. */
async function device(browser: Browser, url: string, name: string, userAgent = FIREFOX): Promise<Page> {
  const page = await (await browser.newContext({ userAgent })).newPage();
  await page.goto(url);
  await signIn(page, name, PASSWORD);
  await page.waitForURL(url);
  return page;
}

/** Returns the labels of the devices that the page lists, and marks its own. */
async function devices(page: Page): Promise<string[]> {
  const texts = await page.locator("#devices li > div").allTextContents();
  return texts.map((text) => text.replace(/\s+/g, " ").replace(/ Last seen .*/, "").trim());
}

const THIS = "Firefox on Linux This device";
const OTHER = "Firefox on Linux";
const PHONE = "Mobile Safari on iOS";

/** Reloads the page; returns the path of the page that is shown. */
async function reloaded(page: Page): Promise<string> {
  await page.reload();
  return new URL(page.url()).pathname;
}

Deno.test("examples/login lists a user's devices, and signs each out from any of them", async (t) => {
  await using example = await startExample("login");
  await using browser = await launch();
  const first = await device(browser, example.url, "Ada");
  assertEquals(await devices(first), [THIS]);
  assertEquals(await first.getByRole("button", { name: "Sign out everywhere else" }).count(), 0);
  const second = await device(browser, example.url, "Ada", IPHONE);
  const stranger = await device(browser, example.url, "Grace");

  await t.step("each device sees its own mark, and no device of another user", async () => {
    assertEquals(await devices(second), [OTHER, `${PHONE} This device`]);
    await first.reload();
    assertEquals(await devices(first), [THIS, PHONE]);
    assertEquals(await devices(stranger), [THIS]);
  });

  await t.step(
    "the list shows when each device was last seen and signed in and until when, and no session id",
    async () => {
      const times = await first.locator("#devices time").evaluateAll((all) =>
        all.map((time) => time.getAttribute("datetime"))
      );
      assertEquals(times.length, 6);
      for (const [i, time] of times.entries()) {
        const expected = Date.now() + (i % 3 === 2 ? 24 * 60 * 60 * 1000 : 0);
        assert(Math.abs(expected - Date.parse(time ?? "")) < 60_000, `${time}`);
      }
      for (const page of [first, second]) {
        const [id = ""] = (await sessionCookie(page.context()))?.value.split(".") ?? [];
        assertMatch(id, /^[\w-]{24}$/);
        for (const seen of [first, second]) assertEquals((await seen.content()).includes(id), false);
      }
    },
  );

  await t.step("the handle of another user's session signs nothing out", async () => {
    const theirs = await stranger.locator("[name=handle]").inputValue();
    await second.locator("[name=handle]").first().evaluate(
      (input, value) => input.setAttribute("value", value),
      theirs,
    );
    await second.getByRole("button", { name: `Sign out ${OTHER}` }).click();
    await second.locator(".notice").waitFor();
    assertEquals(await notice(second), "That device was signed out already.");
    assertEquals(await reloaded(stranger), "/");
  });

  await t.step("the second device signs the first one out", async () => {
    await second.getByRole("button", { name: `Sign out ${OTHER}` }).click();
    await second.locator(".notice").waitFor();
    assertEquals(await notice(second), "That device has been signed out.");
    assertEquals(await devices(second), [`${PHONE} This device`]);
    assertEquals(await reloaded(first), "/sign-in");
    assertEquals(await reloaded(second), "/");
  });

  await t.step("signing out everywhere else leaves this device and other users alone", async () => {
    const others = [await device(browser, example.url, "Ada"), await device(browser, example.url, "Ada")];
    await second.reload();
    assertEquals(await devices(second), [`${PHONE} This device`, OTHER, OTHER]);
    await second.getByRole("button", { name: "Sign out everywhere else" }).click();
    await second.locator(".notice").waitFor();
    assertEquals(await notice(second), "You have been signed out everywhere else.");
    assertEquals(await devices(second), [`${PHONE} This device`]);
    for (const page of others) assertEquals(await reloaded(page), "/sign-in");
    assertEquals(await reloaded(stranger), "/");
  });

  await t.step("signing this device out leads to the sign-in page", async () => {
    await second.getByRole("button", { name: "Sign out this device" }).click();
    await second.waitForURL("**/sign-in");
    assertEquals(await notice(second), "You have signed out.");
    await second.goto(example.url);
    assertEquals(new URL(second.url()).pathname, "/sign-in");
  });
});

Deno.test("examples/login remembers a visitor who asks for it after the browser restarts, and no other", async (t) => {
  await using example = await startExample("login");
  for (const remember of [true, false]) {
    await t.step(remember ? "remembered" : "not remembered", async () => {
      const profile = await Deno.makeTempDir({ prefix: "profile_" });
      try {
        {
          await using context = await launchProfile(profile);
          const page = await context.newPage();
          await page.goto(example.url);
          await signIn(page, "Ada", PASSWORD, remember);
          await page.waitForURL(example.url);
          const { expires = 0 } = await sessionCookie(context) ?? {};
          const days = Math.round((expires - Date.now() / 1000) / (24 * 60 * 60));
          assertEquals([days, expires], remember ? [30, expires] : [days, -1]);
        }
        {
          await using context = await launchProfile(profile);
          const page = await context.newPage();
          await page.goto(example.url);
          assertEquals(new URL(page.url()).pathname, remember ? "/" : "/sign-in");
          if (!remember) return;
          await page.getByRole("button", { name: "Sign out", exact: true }).click();
          await page.waitForURL("**/sign-in");
          assertEquals((await sessionCookie(context))?.expires, -1, "nobody is remembered any more");
        }
      } finally {
        await Deno.remove(profile, { recursive: true });
      }
    });
  }
});

Deno.test("examples/login asks for the password again if the sign-in was some time ago", async () => {
  await using example = await startExample("login");
  await using browser = await launch();
  const page = await device(browser, example.url, "Ada");
  await page.getByRole("link", { name: "Show your recovery code" }).click();
  const code = await page.textContent("#code");
  assertMatch(code ?? "", /^[\da-f-]{36}$/);

  await example.waitTenMinutes();
  await page.reload();
  assertEquals(new URL(page.url()).pathname, "/confirm");
  assertEquals((await page.content()).includes(code ?? ""), false);
  await page.getByLabel("Password").fill("wrong");
  await page.getByRole("button", { name: "Confirm" }).click();
  await page.locator(".notice").waitFor();
  assertEquals(await notice(page), "That password does not match.");
  const before = (await sessionCookie(page.context()))?.value;
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("button", { name: "Confirm" }).click();
  await page.waitForURL("**/recovery-code");
  assertEquals(await page.textContent("#code"), code);
  assertNotEquals((await sessionCookie(page.context()))?.value, before);
  await page.getByRole("link", { name: "Back" }).click();
  await page.waitForURL(example.url);
  assertEquals(await devices(page), [THIS], "the label is kept");
});

Deno.test("examples/login refuses forms from other sites", async (t) => {
  await using example = await startExample("login");
  await using browser = await launch();
  const page = await device(browser, example.url, "Ada");

  /** Serves a page with a form that sends itself to the example. */
  function attacker(path: string, fields = ""): Deno.HttpServer<Deno.NetAddr> {
    const form = `<!DOCTYPE html><form method="post" action="${new URL(path, example.url)}">${fields}</form>`;
    const markup = `${form}<script>document.forms[0].submit()</script>`;
    return Deno.serve({ hostname: "127.0.0.1", port: 0, onListen(): void {} }, (): Response => {
      return new Response(markup, { headers: { "content-type": "text/html" } });
    });
  }

  // For a browser, `localhost` on another port is the same site, so it sends the SameSite=Lax
  // cookie. `127.0.0.1` is another site.
  for (const host of ["localhost", "127.0.0.1"]) {
    await t.step(`a form from ${host} on another port does not sign out`, async () => {
      await using server = attacker("/sign-out");
      const victim = await page.context().newPage();
      const sent = victim.waitForRequest((request) => request.method() === "POST");
      await victim.goto(`http://${host}:${server.addr.port}/`);
      const { "sec-fetch-site": site, cookie } = await (await sent).allHeaders();
      assertEquals([site, cookie !== undefined], host === "localhost" ? ["same-site", true] : ["cross-site", false]);
      await victim.waitForURL("**/sign-out");
      assertMatch(await victim.textContent("body") ?? "", /^Refused \(CSRF\): [^\n]+$/);
      await victim.close();
      assertEquals(await reloaded(page), "/");
    });
  }

  await t.step("a form from another site does not sign a visitor in as somebody else", async () => {
    await using server = attacker(
      "/sign-in",
      `<input name="name" value="Eve"><input name="password" value="${PASSWORD}">`,
    );
    const victim = await (await browser.newContext()).newPage();
    await victim.goto(`http://localhost:${server.addr.port}/`);
    await victim.waitForURL("**/sign-in");
    assertMatch(await victim.textContent("body") ?? "", /^Refused \(CSRF\): /);
    await victim.goto(example.url);
    assertEquals(new URL(victim.url()).pathname, "/sign-in");
  });

  await t.step("a program without a browser needs the token of its form", async () => {
    const form = await fetch(new URL("/sign-in", example.url));
    const [cookie = ""] = form.headers.getSetCookie()[0]?.split(";") ?? [];
    const [, token = ""] = /name="_csrf" value="([\w-]{86})"/.exec(await form.text()) ?? [];
    const send = async (fields: Record<string, string>): Promise<number> => {
      const headers = { cookie, "content-type": "application/x-www-form-urlencoded" };
      const body = `${new URLSearchParams({ name: "Ada", password: PASSWORD, ...fields })}`;
      const response = await fetch(form.url, { method: "POST", redirect: "manual", headers, body });
      await response.body?.cancel();
      return response.status;
    };
    assertEquals(await send({}), 403);
    assertEquals(await send({ _csrf: token.replace(/./g, "A") }), 403);
    assertEquals(await send({ _csrf: token }), 302);
    // The sign-in has changed the id, and with it the token.
    assertEquals(await send({ _csrf: token }), 403);
  });
});

Deno.test("examples/login shows a page if the session was ended while a request was under way", async () => {
  await using example = await startExample("login");
  await using browser = await launch();
  const page = await device(browser, example.url, "Ada");
  const cookie = (await sessionCookie(page.context()))?.value;

  // The session is loaded with the headers. The action waits for the body, which is held back.
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const body = writable.getWriter();
  const headers = {
    cookie: `sid=${cookie}`,
    "content-type": "application/x-www-form-urlencoded",
    "sec-fetch-site": "same-origin",
  };
  const answer = fetch(new URL("/devices/end", example.url), { method: "POST", headers, body: readable });
  await body.write(new TextEncoder().encode("handle="));

  const other = await device(browser, example.url, "Ada");
  await other.getByRole("button", { name: "Sign out everywhere else" }).click();
  await other.locator(".notice").waitFor();
  await body.write(new TextEncoder().encode("none"));
  await body.close();

  const response = await answer;
  assertEquals([response.status, response.headers.get("content-type")], [409, "text/html; charset=utf-8"]);
  await page.setContent(await response.text());
  assertEquals(await page.locator("main p").allTextContents(), ["Your session has ended. Sign in again."]);
  assertEquals(await page.getByRole("link", { name: "Sign in again" }).getAttribute("href"), "/sign-in");
});
