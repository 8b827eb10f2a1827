/** When Alosaur calls hooks, and what a hook can change. See `_points.ts`. */
import { Content } from "alosaur/mod.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { appendHeaders, called, fail, immediately, type Point, servePoints } from "./_points.ts";

Deno.test("Alosaur calls the hooks", async (t) => {
  await using server = await servePoints();
  const { play } = server;

  await t.step(
    "hooks run in the order area, controller, action; hooks of one member run from the bottom up",
    async () => {
      await play("/hooked", { action: () => "text" });
      assertEquals(called, [
        ...["a.pre", "b.pre"],
        ...["area.pre", "controller.pre", "first.pre", "second.pre"],
        "action",
        ...["area.post", "controller.post", "first.post", "second.post"],
        ...["a.post", "b.post", "merge"],
      ]);
    },
  );

  await t.step("onPostAction sees the result and may replace it", async () => {
    const answer = await play("/hooked", {
      action: () => "text",
      "first.post": ({ response }) => response.result = `${response.result}, hooked`,
    });
    assertEquals(answer.text, "text, hooked");
  });

  await t.step(
    "setImmediately() in onPreAction skips the rest and merges twice, which doubles the headers of an action result",
    async () => {
      const answer = await play("/hooked", {
        "a.pre": appendHeaders,
        "first.pre": immediately,
      });
      assertEquals(called, [
        ...["a.pre", "b.pre", "area.pre", "controller.pre", "first.pre"],
        ...["controller.post", "area.post"],
        ...["merge", "error TypeError: respondWith is not a function", "merge"],
      ]);
      assertEquals([answer.status, answer.text], [203, "at once"]);
      assertEquals(answer.cookies, ["a=1", "b=2", "a=1", "b=2"]);
      assertEquals(answer.headers.get("x-own"), "1, 1");
      assertEquals(answer.errors, []);
    },
  );

  await t.step("a second merge doubles the headers of an action result only", async () => {
    const table: Point[] = [
      ({ response }) => void (response.result = "text"),
      ({ response }) => void (response.result = { a: 1 }),
      ({ response }) => void (response.body = "body"),
      () => {},
    ];
    for (const set of table) {
      const answer = await play("/hooked", {
        "a.pre": appendHeaders,
        "first.pre": (context) => (set(context), context.response.setImmediately()),
      });
      assertEquals(called.filter((point) => point === "merge").length, 2);
      assertEquals(answer.cookies, ["a=1", "b=2"]);
    }
  });

  await t.step(
    "setImmediately() in onPostAction merges twice too, after it has run the earlier hooks in reverse",
    async () => {
      const answer = await play("/hooked", {
        "a.pre": appendHeaders,
        action: () => "text",
        "first.post": immediately,
      });
      assertEquals(called.slice(6), [
        ...["action", "area.post", "controller.post", "first.post"],
        ...["controller.post", "area.post"],
        ...["merge", "error TypeError: respondWith is not a function", "merge"],
      ]);
      assertEquals(answer.cookies, ["a=1", "b=2", "a=1", "b=2"]);
    },
  );

  await t.step(
    "setImmediately() in an action merges twice if the action has a hook with onPostAction, and once otherwise",
    async () => {
      const action: Point = ({ response }) => (response.setImmediately(), Content("at once"));
      const twice = await play("/hooked", { "a.pre": appendHeaders, action });
      assertEquals(called.slice(6), [
        ...["action", "area.post"],
        ...["merge", "error TypeError: respondWith is not a function", "merge"],
      ]);
      assertEquals(twice.cookies, ["a=1", "b=2", "a=1", "b=2"]);

      const once = await play("/plain/pre-hook", { "a.pre": appendHeaders, action });
      assertEquals(called, ["a.pre", "b.pre", "only.pre", "action", "merge"]);
      assertEquals(once.cookies, ["a=1", "b=2"]);
    },
  );

  await t.step("after a hook's setImmediately() the error handler may set another result", async () => {
    const answer = await play("/hooked", {
      "first.pre": immediately,
      error: ({ response }) => response.result = "handled",
    });
    assertEquals([answer.status, answer.text], [200, "handled"]);
  });

  await t.step("onCatchAction sees the error, but only setImmediately() keeps it from the client", async () => {
    const seen: unknown[] = [];
    const look: Point = ({ response }) => {
      seen.push(response.error?.message);
      response.result = "caught";
    };
    const still = await play("/hooked", { action: fail("broken", 418), "first.catch": look });
    assertEquals(seen, ["broken"]);
    assertEquals(called.slice(6), [
      ...["action", "area.catch", "controller.catch", "first.catch", "second.catch"],
      ...["a.post", "b.post", "error Error: broken"],
    ]);
    assertEquals(still.status, 418);

    const caught = await play("/hooked", {
      action: fail("broken", 418),
      "first.catch": immediately,
      "a.pre": appendHeaders,
    });
    assertEquals(called.slice(6), [
      ...["action", "area.catch", "controller.catch", "first.catch"],
      ...["controller.catch", "area.catch"],
      ...["merge", "error TypeError: respondWith is not a function", "merge"],
    ]);
    assertEquals([caught.status, caught.text], [203, "at once"]);
    assertEquals(caught.cookies, ["a=1", "b=2", "a=1", "b=2"]);
  });

  await t.step(
    "a hook that throws skips onPostRequest and onCatchAction, and does not set response.error",
    async () => {
      for (const point of ["first.pre", "first.post", "first.catch"]) {
        const errors: unknown[] = [];
        const answer = await play("/hooked", {
          action: point === "first.catch" ? fail("action") : () => "text",
          [point]: fail("hook", 418),
          error: ({ response }) => errors.push(response.error?.message),
        });
        assertEquals(called.slice(-2), [point, "error Error: hook"]);
        assertEquals(called.includes("a.post"), false);
        assertEquals(errors, [point === "first.catch" ? "action" : undefined]);
        assertEquals(answer.status, 418);
      }
    },
  );
});
