/** The addresses of the provider and of this application, and the client's credentials. */
export interface OAuthOptions {
  hostname: string;
  callbackPath: string;
  clientId: string;
  clientSecret: string;
  authorizationEndpoint: string;
  tokenEndpoint: string;
  userInformationEndpoint: string;
  scope?: string;
  successLoginPath: string;
  errorLoginPath: string;
}
