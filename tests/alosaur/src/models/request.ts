// deno-lint-ignore-file no-explicit-any -- Alosaur's own public signatures are any

export interface RequestBodyFormDataParseOptions {
  maxMemory?: number;
  parser?: (request: Request, contentType: string) => Promise<any>;
}

export interface RequestBodyParseOptions {
  formData?: RequestBodyFormDataParseOptions;
}

/** The request of a context. */
export class AlosaurRequest {
  readonly url: string;
  readonly headers: Headers;
  readonly method: string;
  #url?: URL;
  #body: any;

  constructor(readonly serverRequest: Request) {
    this.url = serverRequest.url;
    this.headers = serverRequest.headers;
    this.method = serverRequest.method;
  }

  get parserUrl(): URL {
    return this.#url ??= new URL(this.url);
  }

  /** Parses the body once. Returns `undefined` if it cannot be parsed. */
  async body(options?: RequestBodyParseOptions): Promise<any> {
    if (this.#body === undefined) this.#body = await parseBody(this.serverRequest, options);
    return this.#body;
  }
}

/** Note: only these exact content types are parsed. JSON with a charset is left as a stream. */
async function parseBody(request: Request, options?: RequestBodyParseOptions): Promise<unknown> {
  const contentType = request.headers.get("content-type") ?? "";
  try {
    if (contentType === "application/json") return await request.json();
    if (contentType === "application/x-www-form-urlencoded") {
      return Object.fromEntries(new URLSearchParams(await request.text()));
    }
    if (contentType.startsWith("multipart/form-data")) {
      const parser = options?.formData?.parser;
      return await (parser ? parser(request, contentType) : request.formData());
    }
  } catch (error) {
    console.warn(error);
    return undefined;
  }
  return request.body;
}
