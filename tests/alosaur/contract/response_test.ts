/** Alosaur's contexts, requests, responses, results and errors, each by itself. */
import * as alosaur from "alosaur/mod.ts";
import {
  AlosaurRequest,
  AlosaurResponse,
  Content,
  HttpContext,
  HttpError,
  NoContent,
  Redirect,
  RedirectPermanent,
} from "alosaur/mod.ts";
import { Context } from "alosaur/src/models/context.ts";
import { SERVER_REQUEST } from "alosaur/src/models/tokens.model.ts";
import { assert, assertEquals, assertInstanceOf, assertStrictEquals, assertThrows } from "../../helpers/assert.ts";
import { Captured } from "../../helpers/console.ts";

function request(init?: RequestInit): Request {
  return new Request("http://localhost/path?a=1", init);
}

function post(body: BodyInit, type?: string): AlosaurRequest {
  return new AlosaurRequest(request({ method: "POST", body, headers: type ? { "content-type": type } : {} }));
}

const text = (result: { body?: unknown }): string => new TextDecoder().decode(result.body as Uint8Array);

Deno.test("alosaur/mod.ts exports the parts of an application", () => {
  const names = [
    ..."App Area Controller Get Post Put Patch Delete ActionParam Ctx Body Param QueryParam QueryParams".split(" "),
    ..."Cookie Req Res UseHook Middleware Content View Redirect RedirectPermanent NoContent".split(" "),
    ..."HttpContext AlosaurRequest AlosaurResponse Injectable Inject Container SLContainer HttpError".split(" "),
    ..."BadRequestError UnauthorizedError ForbiddenError NotFoundError MethodNotAllowedError".split(" "),
    ..."NotAcceptableError InternalServerError".split(" "),
  ];
  assertEquals(names.filter((name) => !(name in alosaur)), []);
});

Deno.test("alosaur/mod.ts exports neither Context nor SERVER_REQUEST", () => {
  assertEquals(["Context" in alosaur, "SERVER_REQUEST" in alosaur], [false, false]);
  assertEquals(SERVER_REQUEST, "SERVER_REQUEST_TOKEN");
});

Deno.test("HttpContext extends Context, and has the request, a response and an empty state", () => {
  const serverRequest = request({ method: "PUT" });
  const context = new HttpContext<{ user: string }>(serverRequest);
  assertInstanceOf(context, Context);
  assertInstanceOf(context.request, AlosaurRequest);
  assertInstanceOf(context.response, AlosaurResponse);
  assertStrictEquals(context.request.serverRequest, serverRequest);
  assertEquals(context.state, undefined);
  context.state = { user: "ada" };
  assertEquals(context.state.user, "ada");
});

Deno.test("HttpContext without a request throws", () => {
  assertThrows(() => Reflect.construct(HttpContext, []), TypeError);
});

Deno.test("AlosaurRequest has the request's url, headers and method, and the same parsed URL each time", () => {
  const serverRequest = request({ method: "PUT" });
  const { url, headers, method, parserUrl } = new AlosaurRequest(serverRequest);
  assertEquals([url, method], ["http://localhost/path?a=1", "PUT"]);
  assertStrictEquals(headers, serverRequest.headers);
  assertInstanceOf(parserUrl, URL);
  const again = new AlosaurRequest(serverRequest);
  assertStrictEquals(again.parserUrl, again.parserUrl);
});

Deno.test("AlosaurRequest.body() parses JSON once", async () => {
  const json = post(`{"a":[1]}`, "application/json");
  const body = await json.body();
  assertEquals(body, { a: [1] });
  assertStrictEquals(await json.body(), body);
});

Deno.test("AlosaurRequest.body() parses urlencoded fields to an object, with the last value of each name", async () => {
  assertEquals(await post("a=1&b=2&b=%20+x", "application/x-www-form-urlencoded").body(), { a: "1", b: "  x" });
});

Deno.test("AlosaurRequest.body() parses multipart to FormData", async () => {
  const form = new FormData();
  form.append("a", "1");
  const body = await post(form).body();
  assertInstanceOf(body, FormData);
  assertEquals(body.get("a"), "1");
});

Deno.test("AlosaurRequest.body() returns the stream for any other content type, such as JSON with a charset", async () => {
  for (const type of ["application/json; charset=utf-8", "text/plain", "application/octet-stream"]) {
    const body = await post("{}", type).body();
    assertInstanceOf(body, ReadableStream, type);
    await body.cancel();
  }
});

Deno.test("AlosaurRequest.body() warns and returns undefined if JSON is malformed", async () => {
  using warn = new Captured("warn");
  assertEquals(await post("{", "application/json").body(), undefined);
  assertEquals(warn.lines.length, 1);
});

Deno.test("AlosaurResponse is empty at first, and neither immediate nor unanswered", () => {
  const response = new AlosaurResponse();
  assertEquals([...response.headers], []);
  assertEquals([response.status, response.body, response.result, response.error], [
    undefined,
    undefined,
    undefined,
    undefined,
  ]);
  assertEquals([response.isImmediately(), response.isNotRespond()], [false, false]);
  response.setImmediately();
  response.setNotRespond();
  assertEquals([response.isImmediately(), response.isNotRespond()], [true, true]);
});

Deno.test("AlosaurResponse.getRaw() returns headers, body and status, not the result", () => {
  const response = new AlosaurResponse();
  response.body = "body";
  response.status = 201;
  response.result = "result";
  assertEquals(response.getRaw(), { headers: response.headers, body: "body", status: 201 });
  assertStrictEquals(response.getRaw().headers, response.headers);
});

Deno.test("getMergedResult() is a method of the prototype, and may be replaced on one response", () => {
  assert(Object.hasOwn(AlosaurResponse.prototype, "getMergedResult"));
  const response = new AlosaurResponse();
  assertEquals(Object.hasOwn(response, "getMergedResult"), false);
  const own = new Response();
  response.getMergedResult = () => own;
  assertStrictEquals(response.getMergedResult(), own);
});

Deno.test("getMergedResult() returns a native Response itself, even if there is a body", () => {
  const response = new AlosaurResponse();
  response.headers.set("x-lost", "1");
  response.body = "body";
  response.result = new Response("native");
  const merged = response.getMergedResult();
  assertStrictEquals(merged, response.result);
  assertEquals(merged.headers.get("x-lost"), null);
});

Deno.test("getMergedResult() prefers any body but undefined to the result, and returns a plain object with the response's headers", () => {
  for (const body of ["body", "", null, 0]) {
    const response = new AlosaurResponse();
    response.result = Content("result", 201);
    response.body = body;
    const merged = response.getMergedResult();
    assertEquals(merged instanceof Response, false);
    assertEquals(merged, { headers: response.headers, body, status: undefined });
    assertStrictEquals(merged.headers, response.headers);
  }
});

Deno.test("getMergedResult() returns an action result itself, with changed headers and its own status", () => {
  const response = new AlosaurResponse();
  response.headers.append("x-a", "2");
  response.headers.append("set-cookie", "a=1");
  response.headers.append("set-cookie", "b=2");
  response.status = 299;
  const result = Content("text", 201, new Headers({ "x-a": "1" }));
  response.result = result;
  assertStrictEquals(response.getMergedResult(), result);
  assertEquals(result.status, 201);
  assertEquals(result.headers.get("x-a"), "1, 2");
  assertEquals(result.headers.getSetCookie(), ["a=1", "b=2"]);
});

Deno.test("getMergedResult() called twice appends the headers twice", () => {
  const response = new AlosaurResponse();
  response.headers.append("set-cookie", "a=1");
  response.result = Content("text");
  response.getMergedResult();
  assertEquals(response.getMergedResult().headers.getSetCookie(), ["a=1", "a=1"]);
});

Deno.test("getMergedResult() appends a content type to that of JSON", () => {
  const response = new AlosaurResponse();
  response.headers.set("content-type", "text/custom");
  response.result = { a: 1 };
  assertEquals(
    response.getMergedResult().headers.get("content-type"),
    "application/json; charset=utf-8, text/custom",
  );
});

Deno.test("getMergedResult() converts anything else to an action result, and does not change response.result", () => {
  for (const result of ["text", 0, false, { a: 1 }, [1]]) {
    const response = new AlosaurResponse();
    response.headers.append("set-cookie", "a=1");
    response.result = result;
    const merged = response.getMergedResult();
    assertEquals(merged.status, 200);
    assertEquals(merged.headers.getSetCookie(), ["a=1"]);
    assertInstanceOf((merged as { body?: unknown }).body, Uint8Array);
    assertEquals(response.result, result);
  }
});

Deno.test("getMergedResult() without a result returns an empty 200", () => {
  const merged = new AlosaurResponse().getMergedResult() as { body?: unknown; status?: number };
  assertEquals([text(merged), merged.status], ["", 200]);
});

Deno.test("getMergedResult() throws on a null result, unless there is a body", () => {
  const response = new AlosaurResponse();
  response.result = null;
  assertThrows(() => response.getMergedResult(), TypeError);
  response.body = "body";
  assertEquals(response.getMergedResult().status, undefined);
});

Deno.test("getMergedResult() accepts any object with __isActionResult; without headers it throws if the response has some", () => {
  const response = new AlosaurResponse();
  response.result = { __isActionResult: true, body: "body" };
  assertStrictEquals(response.getMergedResult(), response.result);
  response.headers.append("set-cookie", "a=1");
  assertThrows(() => response.getMergedResult(), TypeError);
});

Deno.test("Content() returns bytes, a status of 200 by default, and the given headers object", () => {
  assertEquals(text(Content("text")), "text");
  assertEquals([Content("text").status, Content("text", 201).status], [200, 201]);
  assertEquals([...Content("text").headers], []);
  assertEquals(Content("text").__isActionResult, true);
  const headers = new Headers({ "content-type": "text/custom" });
  assertStrictEquals(Content({ a: 1 }, 200, headers).headers, headers);
  assertEquals(headers.get("content-type"), "application/json; charset=utf-8");
});

Deno.test("NoContent(), Redirect() and RedirectPermanent() return action results without a body", () => {
  assertEquals([NoContent().status, NoContent().body], [204, undefined]);
  assertEquals([Redirect("/a").status, Redirect("/a").headers.get("location")], [302, "/a"]);
  assertEquals([RedirectPermanent("/b").status, RedirectPermanent("/b").headers.get("location")], [301, "/b"]);
});

Deno.test("HttpError and its subclasses have an httpCode, and their message appears in JSON", () => {
  const table: [HttpError, number, string][] = [
    [new alosaur.BadRequestError("m"), 400, "BadRequestError"],
    [new alosaur.UnauthorizedError("m"), 401, "UnauthorizedError"],
    [new alosaur.ForbiddenError("m"), 403, "ForbiddenError"],
    [new alosaur.NotFoundError("m"), 404, "NotFoundError"],
    [new alosaur.MethodNotAllowedError("m"), 405, "MethodNotAllowedError"],
    [new alosaur.NotAcceptableError("m"), 406, "NotAcceptableError"],
    [new alosaur.InternalServerError("m"), 500, "InternalServerError"],
  ];
  for (const [error, httpCode, name] of table) {
    assertInstanceOf(error, HttpError);
    assertInstanceOf(error, Error);
    assertEquals(JSON.stringify(error), JSON.stringify({ httpCode, name, message: "m" }));
  }
  assertEquals(JSON.stringify(new HttpError(418)), `{"httpCode":418}`);
  assertEquals(JSON.stringify(new HttpError(418, "m")), `{"httpCode":418,"message":"m"}`);
  assertEquals(JSON.stringify(new alosaur.BadRequestError()), `{"httpCode":400,"name":"BadRequestError"}`);
});
