import { assertEquals, assertMatch } from "../helpers/assert.ts";
import { exampleCommand, EXAMPLES } from "../helpers/example.ts";

for (const name of EXAMPLES) {
  Deno.test(`examples/${name} prints one line if its port is taken, and exits with code 1`, async () => {
    const directory = await Deno.makeTempDir({ prefix: "sessions_" });
    using listener = Deno.listen({ hostname: "0.0.0.0", port: 0 });
    const { port } = listener.addr;
    try {
      const { code, stdout, stderr } = await exampleCommand(name, { PORT: `${port}`, SESSION_DIR: directory }).output();
      assertEquals(
        new TextDecoder().decode(stderr),
        `Cannot listen on port ${port}: it is taken. Set PORT to choose another.\n`,
      );
      assertEquals(new TextDecoder().decode(stdout), "");
      assertEquals(code, 1);
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  });
}

Deno.test("the examples print one line if PORT is no port, and exit with code 1", async () => {
  for (const port of ["http", "-1", "65536", "80.5"]) {
    const { code, stderr } = await exampleCommand("counter", { PORT: port }).output();
    assertMatch(new TextDecoder().decode(stderr), /^Cannot listen on port [^\n]+\n$/);
    assertEquals(code, 1);
  }
});
