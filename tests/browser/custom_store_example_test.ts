import { assertEquals } from "../helpers/assert.ts";
import { launch, launchProfile, type Page, sessionCookie } from "../helpers/chromium.ts";
import { startExample } from "../helpers/example.ts";

async function add(page: Page, note: string): Promise<void> {
  await page.getByLabel("New note").fill(note);
  await page.getByRole("button", { name: "Add" }).click();
  await page.locator("#notes li", { hasText: note }).waitFor();
}

function notes(page: Page): Promise<string[]> {
  return page.locator("#notes li").allTextContents();
}

/** Runs a test with a directory that is removed after it. */
async function withDirectory(test: (directory: string) => Promise<void>): Promise<void> {
  const directory = await Deno.makeTempDir({ prefix: "sessions_" });
  try {
    await test(directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

function filesIn(directory: string): string[] {
  return Array.from(Deno.readDirSync(directory), ({ name }) => name);
}

Deno.test("examples/custom_store keeps its notes after a restart of the server", async () => {
  await withDirectory(async (directory) => {
    await using browser = await launch();
    const page = await (await browser.newContext()).newPage();
    {
      await using example = await startExample("custom_store", { SESSION_DIR: directory });
      await page.goto(example.url);
      assertEquals(filesIn(directory), [], "a visitor who writes nothing leaves no file");
      await add(page, "milk & <b>honey</b>");
      await add(page, "bread");
    }
    {
      await using example = await startExample("custom_store", { SESSION_DIR: directory });
      await page.goto(example.url);
      assertEquals(await notes(page), ["milk & <b>honey</b>", "bread"]);
      await add(page, "salt");
      assertEquals(await notes(page), ["milk & <b>honey</b>", "bread", "salt"]);
    }
    {
      // The session still exists, but its cookie was signed by another secret.
      await using example = await startExample("custom_store", {
        SESSION_DIR: directory,
        SESSION_SECRET: "quite another secret",
      });
      await page.goto(example.url);
      assertEquals(await notes(page), []);
    }
    assertEquals(filesIn(directory).length, 1);
  });
});

Deno.test("examples/custom_store has a maxAge, so its notes survive a restart of the browser", async () => {
  await withDirectory(async (directory) => {
    await using example = await startExample("custom_store", { SESSION_DIR: `${directory}/sessions` });
    {
      await using context = await launchProfile(`${directory}/profile`);
      const page = await context.newPage();
      await page.goto(example.url);
      await add(page, "milk");
      const days = ((await sessionCookie(context))?.expires ?? 0) - Date.now() / 1000;
      assertEquals(Math.round(days / (24 * 60 * 60)), 30);
    }
    {
      await using context = await launchProfile(`${directory}/profile`);
      const page = await context.newPage();
      await page.goto(example.url);
      assertEquals(await notes(page), ["milk"]);
    }
  });
});

Deno.test("examples/custom_store removes the file of a session that has ended", async () => {
  await withDirectory(async (directory) => {
    await using example = await startExample("custom_store", { SESSION_DIR: directory });
    await using browser = await launch();
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.goto(example.url);
    await add(page, "milk");
    await add(page, "bread");
    assertEquals(filesIn(directory).length, 1);

    const other = await (await browser.newContext()).newPage();
    await other.goto(example.url);
    await add(other, "theirs");
    const files = filesIn(directory);
    assertEquals(files.length, 2);

    await page.getByRole("button", { name: "Delete all notes" }).click();
    await page.getByText("No notes yet.").waitFor();
    assertEquals(await sessionCookie(context), undefined);
    assertEquals(filesIn(directory).length, 1);

    await other.reload();
    assertEquals(await notes(other), ["theirs"]);
  });
});
