/**
 * Finds durations that were given in milliseconds instead of seconds.
 *
 * @module
 */

/** Ten years of 365 days, in seconds. */
const TEN_YEARS = 10 * 365 * 24 * 60 * 60;

const warned = new Set<string>();

/**
 * Warns in the console about a duration of more than ten years, once for each option. It was
 * probably given in milliseconds.
 *
 * @param option the option as the application knows it, such as `maxAge`
 * @param seconds its value, in seconds; it is printed
 */
export function warnIfMilliseconds(option: string, seconds: number | undefined): void {
  if (seconds === undefined || !(seconds > TEN_YEARS) || warned.has(option)) return;
  warned.add(option);
  console.warn(
    `[session] \`${option}\` is ${seconds}; expected seconds. That is more than ten years, so these are probably milliseconds: divide ` +
      "them by 1000.",
  );
}
