/** Renders the handbook in docs/ as a site in site/dist, with `deno task docs`. */
import { cpSync, readFileSync, rmSync } from "node:fs";
import { type DefaultTheme, defineConfig } from "vitepress";

/** Where links lead that leave docs/. */
const REPOSITORY = "https://github.com/alosaur/session/blob/main";

const DOCS = new URL("../../docs/", import.meta.url);

/** Vite finds Vue only from pages that are in the folder of node_modules. */
const PAGES = new URL("../pages/", import.meta.url);
rmSync(PAGES, { recursive: true, force: true });
cpSync(DOCS, PAGES, { recursive: true });

/** The sidebar is the index of the handbook: its headings, and the pages under them. */
function sidebar(): DefaultTheme.SidebarItem[] {
  const [, ...sections] = readFileSync(new URL("README.md", DOCS), "utf8").split(/^## /m);
  return sections.map((section) => ({
    text: section.slice(0, section.indexOf("\n")),
    items: Array.from(section.matchAll(/\[([^\]]+)\]\(([\w-]+)\.md\)/g), ([, text = "", page = ""]) => ({
      text,
      link: `/${page}`,
    })),
  }));
}

/** Returns the address of a link that leaves docs/. */
function outside(href: string): string {
  const { pathname, hash } = new URL(href, DOCS);
  return REPOSITORY + pathname.slice(new URL("..", DOCS).pathname.length - 1) + hash;
}

export default defineConfig({
  srcDir: "pages",
  outDir: "dist",
  cacheDir: "cache",
  title: "Sessions for Alosaur",
  description: "Server-side sessions for Alosaur on Deno",
  lang: "en",
  cleanUrls: true,
  rewrites: { "README.md": "index.md", "decisions/:page": "decisions/:page" },
  // The test of the links in tests/docs_test.ts covers those outside docs/.
  ignoreDeadLinks: [/^https?:\/\/localhost/, /^\.?\.?\/?\.\.\//, /decisions\/(index)?$/],
  markdown: {
    config(md): void {
      md.core.ruler.push("outside", ({ tokens }) => {
        for (const token of tokens.flatMap(({ children }) => children ?? [])) {
          const href = token.type === "link_open" ? token.attrGet("href") ?? "" : "";
          if (href.startsWith("../") || href === "decisions/") token.attrSet("href", outside(href));
        }
      });
    },
  },
  themeConfig: {
    search: { provider: "local" },
    outline: [2, 3],
    sidebar: sidebar(),
    socialLinks: [{ icon: "github", link: REPOSITORY.replace("/blob/main", "") }],
    docFooter: { prev: "Previous page", next: "Next page" },
  },
});
