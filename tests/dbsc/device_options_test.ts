import { assertThrows } from "../helpers/assert.ts";
import { start } from "../helpers/request.ts";
import { SecurityContext, SessionError, type SessionOptions } from "../../mod.ts";
import { DeviceBoundMiddleware, type DeviceBoundOptions } from "../../src/device_bound_middleware.ts";

function construct(options: object, sessionOptions: Partial<SessionOptions> = {}): DeviceBoundMiddleware {
  return new DeviceBoundMiddleware(start(sessionOptions), options as DeviceBoundOptions);
}

Deno.test("DeviceBoundMiddleware refuses options that are not valid, and says why", () => {
  const cases: [options: object, error: typeof TypeError | typeof RangeError, message: string][] = [
    // Trap 1: browsers sign six times in nine minutes at most.
    [{ maxAge: 149 }, RangeError, "must be an integer of at least 150"],
    [{ maxAge: 200.5 }, RangeError, "must be an integer of at least 150"],
    [{ maxAge: NaN }, RangeError, "must be an integer of at least 150"],
    [{ maxAge: "600" }, TypeError, "`maxAge` must be a number"],
    [{ maxage: 600 }, TypeError, "did you mean `maxAge`?"],
    [{ path: "device" }, TypeError, "`path` must be a path such as"],
    [{ path: '/a";x="' }, TypeError, "`path` must be a path such as"],
    [{ path: "//evil.example/x" }, TypeError, "`path` must be a path such as"],
    [{ path: "/a/../b" }, TypeError, "`path` must be a path such as"],
    [{ path: "/./x" }, TypeError, "`path` must be a path such as"],
    [
      { refreshInitiators: "app.example.com" },
      TypeError,
      "`refreshInitiators` must be an array that contains only host names",
    ],
    // With this one, other sites could end the session of a visitor.
    [
      { refreshInitiators: ["*"] },
      TypeError,
      'must contain only host names such as "app.example.com" or "*.example.com"; received "*"',
    ],
    [{ refreshInitiators: ["https://app.example.com"] }, TypeError, "`refreshInitiators` must contain only host"],
    [{ refreshInitiators: [42] }, TypeError, "`refreshInitiators` must contain only host names"],
    [{ path: 1 }, TypeError, "`path` must be a path such as"],
    [{ algorithms: [] }, TypeError, "`algorithms` must not be empty"],
    [{ algorithms: ["ES384"] }, TypeError, '`algorithms` must contain only "ES256" and "RS256"; received "ES384"'],
    [{ algorithms: "ES256" }, TypeError, "`algorithms` must be an array"],
    [{ offer: true }, TypeError, "`offer` must be a function"],
    [{ require: true }, TypeError, "`require` must be a function"],
  ];
  for (const [options, error, message] of cases) assertThrows(() => construct(options), error, message);
  for (const maxAge of [150, 86_400]) construct({ maxAge });
});

Deno.test("DeviceBoundMiddleware refuses a SessionMiddleware whose cookie a bound cookie cannot accompany", () => {
  const cases: [options: Partial<SessionOptions>, message: string][] = [
    [{ domain: "example.com" }, "must not have `domain`, because a bound cookie belongs to one host"],
    [{ domain: () => "example.com" }, "must not have `domain`, because a bound cookie belongs to one host"],
    [{ partitioned: true }, "`partitioned`"],
    [{ secure: false }, "`secure: false`, because browsers bind sessions on HTTPS only"],
    [{ path: "/admin" }, 'within the path of the session cookie, such as "/admin/.session/device"'],
  ];
  for (const [options, message] of cases) assertThrows(() => construct({}, options), TypeError, message);
  construct({ path: "/admin/device" }, { path: "/admin" });
  construct({}, { path: false });
});

Deno.test("DeviceBoundMiddleware throws a clear error where SessionMiddleware did not run", () => {
  const context = new SecurityContext(new Request("https://localhost/"));
  assertThrows(
    () => construct({}).onPreRequest(context),
    SessionError,
    "this SessionMiddleware did not run",
  );
});
