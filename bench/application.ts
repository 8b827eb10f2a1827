/**
 * The measured Alosaur application: four actions with sessions, and the same four without. It runs
 * on the Alosaur that `alosaur/` is mapped to.
 *
 * @module
 */
import { ActionParam, App, Area, Controller, Ctx, Get, HttpContext } from "alosaur/mod.ts";
import type { SecurityContext } from "../mod.ts";

/** A middleware that does nothing. It replaces `SessionMiddleware` on the side without sessions. */
export const noop = {
  onPreRequest: (): void => {},
  onPostRequest: (): void => {},
};

/** An area of Alosaur. */
type AreaClass = new () => object;

/** Creates the actions that use the session, under a path. */
export function sessionPages(base: string): AreaClass {
  @Controller(base)
  class SessionPages {
    @Get("/read")
    @ActionParam(0, Ctx())
    async read({ security: { session } }: SecurityContext): Promise<string> {
      return String(await session.get("n") ?? "none");
    }

    @Get("/readWrite")
    @ActionParam(0, Ctx())
    async readWrite({ security: { session } }: SecurityContext): Promise<string> {
      const n = await session.get("n", 0) + 1;
      await session.set("n", n);
      return String(n);
    }

    @Get("/untouched")
    @ActionParam(0, Ctx())
    untouched(_context: SecurityContext): string {
      return "ok";
    }

    @Get("/write")
    @ActionParam(0, Ctx())
    async write({ security: { session } }: SecurityContext): Promise<string> {
      await session.set("n", 1);
      return "1";
    }
  }

  @Area({ controllers: [SessionPages] })
  class SessionArea {}
  return SessionArea;
}

/** Creates the same actions without sessions. */
export function plainPages(base: string): AreaClass {
  @Controller(base)
  class PlainPages {
    @Get("/read")
    @ActionParam(0, Ctx())
    async read(_context: SecurityContext): Promise<string> {
      return await "1";
    }

    @Get("/readWrite")
    @ActionParam(0, Ctx())
    async readWrite(_context: SecurityContext): Promise<string> {
      return await "1";
    }

    @Get("/untouched")
    @ActionParam(0, Ctx())
    untouched(_context: SecurityContext): string {
      return "ok";
    }

    @Get("/write")
    @ActionParam(0, Ctx())
    async write(_context: SecurityContext): Promise<string> {
      return await "1";
    }
  }

  @Area({ controllers: [PlainPages] })
  class PlainArea {}
  return PlainArea;
}

/**
 * Creates an application with these areas.
 *
 * @param contextClass `SecurityContext` of the measured checkout
 */
export function createApp(areas: AreaClass[], contextClass: typeof SecurityContext): App<unknown> {
  return new App({ areas, logging: false, providers: [{ token: HttpContext, useClass: contextClass }] });
}
