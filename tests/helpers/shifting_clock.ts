/**
 * Runs before the main module of a child process: the signal SIGUSR2 sets its clock ten minutes
 * ahead.
 *
 * @module
 */
const real = Date.now;
let shift = 0;
Date.now = () => real() + shift;
Deno.addSignalListener("SIGUSR2", () => {
  shift += 10 * 60 * 1000;
  console.info("The clock is ten minutes ahead");
});
