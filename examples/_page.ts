/**
 * The pages of the examples: a layout, a style sheet and a template tag that escapes. Not part of
 * the package.
 *
 * @module
 */
import style from "./style.css" with { type: "text" };

/** Markup that is inserted unescaped. Any other value is text and is escaped. */
export class Html {
  readonly markup: string;

  constructor(markup: string) {
    this.markup = markup;
  }
}

/** Template tag that escapes every value, except `Html` and arrays of it. */
export function html(parts: TemplateStringsArray, ...values: unknown[]): Html {
  return new Html(String.raw({ raw: parts }, ...values.map(toMarkup)));
}

function toMarkup(value: unknown): string {
  if (value === undefined) return "";
  if (value instanceof Html) return value.markup;
  if (Array.isArray(value)) return value.map(toMarkup).join("");
  return String(value).replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

/**
 * Creates a complete page. Its Content-Security-Policy allows only its own style sheet and forms,
 * and `no-store` keeps it out of every cache, including the one behind the "back" button.
 *
 * @param options `scripts`: the page may load the scripts of its own application, and they may
 * connect to it
 */
export function page(
  title: string,
  content: Html,
  { status = 200, scripts = false }: { status?: number; scripts?: boolean } = {},
): Response {
  const { markup } = html`
    <!DOCTYPE html>
    <html lang="en">
      <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <title>${title}</title>
        <link rel="icon" href="data:,">
        <style>${new Html(style)}</style>
      </head>
      <body>
        <main>
          <h1>${title}</h1>
          ${content}
        </main>
      </body>
    </html>
  `;
  return new Response(markup.trim(), {
    status,
    headers: {
      "content-type": "text/html; charset=utf-8",
      "content-security-policy": (scripts ? "script-src 'self'; connect-src 'self'; " : "") +
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
      "cache-control": "no-store",
    },
  });
}

/**
 * Returns a text field of a form. A client can send anything, so any other value counts as empty.
 */
export function field(form: unknown, name: string): string {
  const value = (form as Record<string, unknown> | null | undefined)?.[name];
  return typeof value === "string" ? value : "";
}
