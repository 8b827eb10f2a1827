import { assertEquals, assertInstanceOf, assertStringIncludes } from "./helpers/assert.ts";
import {
  SessionError,
  SessionGoneError,
  SessionNotSupportedError,
  SessionStoreError,
  UnreadableRecordError,
} from "../mod.ts";

const ERRORS = [
  {
    error: new SessionError("get", "Cannot get", { cause: new Error("x") }),
    name: "SessionError",
    operation: "get",
    httpCode: undefined,
  },
  {
    error: new SessionStoreError("set", "Cannot set", { cause: new Error("x") }),
    name: "SessionStoreError",
    operation: "set",
    httpCode: 503,
  },
  {
    error: new SessionNotSupportedError("list", "Cannot list", { cause: new Error("x") }),
    name: "SessionNotSupportedError",
    operation: "list",
    httpCode: 501,
  },
  {
    error: new UnreadableRecordError("get", "Cannot get", { cause: new Error("x") }),
    name: "UnreadableRecordError",
    operation: "get",
    httpCode: 503,
  },
  {
    error: new SessionGoneError("set", { cause: new Error("x") }),
    name: "SessionGoneError",
    operation: "set",
    httpCode: 409,
  },
];

for (const { error, name, operation, httpCode } of ERRORS) {
  Deno.test(`${name} has an operation, a cause and a status, and sends a client nothing`, () => {
    assertInstanceOf(error, SessionError);
    assertInstanceOf(error, Error);
    assertEquals(error.name, name);
    assertStringIncludes(String(error), `${name}: Cannot`);
    assertEquals("httpCode" in error ? error.httpCode : undefined, httpCode);
    assertEquals(error.operation, operation);
    assertInstanceOf(error.cause, Error);
    assertEquals(JSON.stringify(error), "{}");
    assertEquals(Object.keys(error), []);
    // `for in` also finds inherited properties.
    const shown: string[] = [];
    for (const key in error) shown.push(key);
    assertEquals(shown, []);
  });
}
