// deno-lint-ignore-file no-explicit-any -- Alosaur's own public signatures are any

/** A class that can be constructed. */
export interface Type<T> extends Function {
  new (...args: any[]): T;
}

/** The key of a container's entry. */
export type InjectionToken<_T = any> = string | symbol | unknown;

/** The value or class of a token. */
export type Provider<T = any> = {
  useValue?: T;
  useClass?: new (...args: any[]) => T;
  /** Accepted by the type, and ignored when the application starts. */
  useFactory?: (...args: any[]) => T;
  inject?: InjectionToken[];
};

/** A token with its provider. */
export type ProviderDeclaration<T = any> = { token: InjectionToken<T> } & Provider;

/** A token with its provider, as the application's settings take it. */
export type ProviderDeclarations<T = any> = { token: InjectionToken<T> } & Provider;
