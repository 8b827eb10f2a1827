/** Where the visitor is sent to sign in, and where the answer is exchanged. */
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
