import { CookiesScheme } from "./cookies.scheme.ts";

/** The scheme with its default login page. */
// deno-lint-ignore no-namespace -- Alosaur's own public name is a namespace
export namespace CookiesAuthentication {
  export const DefaultScheme: CookiesScheme = new CookiesScheme("/account/login");
}
