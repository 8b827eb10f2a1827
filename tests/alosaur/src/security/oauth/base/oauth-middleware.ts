// deno-lint-ignore-file no-explicit-any -- Alosaur's own public signatures are any
import type { MiddlewareTarget } from "../../../models/mod.ts";
import { Redirect } from "../../../renderer/mod.ts";
import type { SecurityContext } from "../../context/security-context.ts";
import type { SessionInterface } from "../../session/src/session.interface.ts";
import type { OAuthOptions } from "./oauth-options.ts";

/** A handler, as the middleware calls it. */
interface ChallengeHandler {
  getChalangeUrl(properties: OAuthOptions | any, redirectUrl: string): string | undefined;
}

/** Redirects the visitor to the provider to sign in. With a `code` in the query, exchanges it for a token. */
export class OAuthMiddleware<TState> implements MiddlewareTarget<TState> {
  constructor(private readonly options: OAuthOptions, private readonly handler?: ChallengeHandler) {}

  async onPreRequest(context: SecurityContext<TState>): Promise<void> {
    const { searchParams } = context.request.parserUrl;
    const code = searchParams.get("code");
    const page = code ? await this.#takeAnswer(context, code, searchParams.get("scope")) : this.#challengeUrl();
    context.response.result = Redirect(page);
    context.response.setImmediately();
  }

  onPostRequest(_context: SecurityContext<TState>): void {}

  async #takeAnswer(context: SecurityContext<TState>, code: string, scope: string | null): Promise<string> {
    const { callbackPath, successLoginPath, errorLoginPath } = this.options;
    try {
      const profile = await this.#fetchProfile(code, scope);
      // Not awaited. If the session cannot be written, that is an unhandled rejection and the
      // visitor is redirected anyway.
      (context.security.session as SessionInterface).set(`external_login_${callbackPath}`, profile);
      return successLoginPath;
    } catch (error) {
      context.response.error = error as Error;
      return errorLoginPath;
    }
  }

  async #fetchProfile(code: string, scope: string | null): Promise<unknown> {
    const { tokenEndpoint, userInformationEndpoint, clientId, clientSecret } = this.options;
    const answer = await fetch(`${tokenEndpoint}?code=${code}&scope=${scope}`, {
      method: "POST",
      body: JSON.stringify({
        code,
        scope,
        redirect_uri: this.#redirectUrl,
        grant_type: "authorization_code",
        client_id: clientId,
        client_secret: clientSecret,
      }),
    });
    const { access_token } = await answer.json();
    const profile = await fetch(`${userInformationEndpoint}?grant_type=authorization_code`, {
      method: "GET",
      headers: { Authorization: `Bearer ${access_token}` },
    });
    return await profile.json();
  }

  #challengeUrl(): string {
    const { authorizationEndpoint, clientId, scope } = this.options;
    const own = `${authorizationEndpoint}?redirect_uri=${this.#redirectUrl}&response_type=code&client_id=${clientId}`;
    const url = this.handler?.getChalangeUrl(this.options, this.#redirectUrl) ?? own;
    return scope ? `${url}&scope=${scope}` : url;
  }

  get #redirectUrl(): string {
    return `${this.options.hostname}/${this.options.callbackPath}`;
  }
}
