/** The application that is measured: four actions, with sessions and without, on whichever Alosaur `alosaur/` is mapped to. */
import { ActionParam, App, Area, Controller, Ctx, Get } from "alosaur/mod.ts";
import { Context, SecurityContext } from "../mod.ts";

/** A middleware that does nothing: what an application without sessions has in the place of theirs. */
export const noop = {
  onPreRequest: (): void => {},
  onPostRequest: (): void => {},
};

/** An area of Alosaur. */
type Pages = new () => object;

/** The actions, on sessions. */
export function sessionPages(base: string): Pages {
  @Controller(base)
  class SessionPages {
    @Get("/read")
    @ActionParam(0, Ctx())
    async read({ security: { session } }: SecurityContext): Promise<string> {
      return String(await session.get("n") ?? "none");
    }

    @Get("/both")
    @ActionParam(0, Ctx())
    async both({ security: { session } }: SecurityContext): Promise<string> {
      const n = await session.get("n", 0) + 1;
      await session.set("n", n);
      return String(n);
    }

    @Get("/none")
    @ActionParam(0, Ctx())
    none(_context: SecurityContext): string {
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

/** The same actions without. */
export function plainPages(base: string): Pages {
  @Controller(base)
  class PlainPages {
    @Get("/read")
    @ActionParam(0, Ctx())
    async read(_context: SecurityContext): Promise<string> {
      return await "1";
    }

    @Get("/both")
    @ActionParam(0, Ctx())
    async both(_context: SecurityContext): Promise<string> {
      return await "1";
    }

    @Get("/none")
    @ActionParam(0, Ctx())
    none(_context: SecurityContext): string {
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

/** Makes the application of some pages. */
export function createApp(...areas: Pages[]): App<unknown> {
  return new App({ areas, logging: false, providers: [{ token: Context, useClass: SecurityContext }] });
}
