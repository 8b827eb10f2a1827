/**
 * An error with a status.
 *
 * Note: the fields of an error that nothing handles are sent to the client, and here `message` is
 * one of them.
 */
export class HttpError extends Error {
  httpCode: number | undefined;

  constructor(httpCode: number, message?: string) {
    super();
    this.httpCode = httpCode;
    if (message) this.message = message;
  }
}

/** 400 */
export class BadRequestError extends HttpError {
  override name = "BadRequestError";
  constructor(message?: string) {
    super(400);
    if (message) this.message = message;
  }
}

/** 401 */
export class UnauthorizedError extends HttpError {
  override name = "UnauthorizedError";
  constructor(message?: string) {
    super(401);
    if (message) this.message = message;
  }
}

/** 403 */
export class ForbiddenError extends HttpError {
  override name = "ForbiddenError";
  constructor(message?: string) {
    super(403);
    if (message) this.message = message;
  }
}

/** 404 */
export class NotFoundError extends HttpError {
  override name = "NotFoundError";
  constructor(message?: string) {
    super(404);
    if (message) this.message = message;
  }
}

/** 405 */
export class MethodNotAllowedError extends HttpError {
  override name = "MethodNotAllowedError";
  constructor(message?: string) {
    super(405);
    if (message) this.message = message;
  }
}

/** 406 */
export class NotAcceptableError extends HttpError {
  override name = "NotAcceptableError";
  constructor(message?: string) {
    super(406);
    if (message) this.message = message;
  }
}

/** 500 */
export class InternalServerError extends HttpError {
  override name = "InternalServerError";
  constructor(message: string) {
    super(500);
    if (message) this.message = message;
  }
}
