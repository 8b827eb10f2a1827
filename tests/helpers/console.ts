/** Captures the calls of one console method while a test runs. */
export class Captured implements Disposable {
  readonly #method: "log" | "warn" | "error";
  readonly #real: (...data: unknown[]) => void;
  /** The calls in order: the argument, or a list if there were several. */
  readonly lines: unknown[] = [];

  constructor(method: "log" | "warn" | "error") {
    this.#method = method;
    this.#real = console[method];
    console[method] = (...data: unknown[]) => {
      this.lines.push(data.length === 1 ? data[0] : data);
    };
  }

  [Symbol.dispose](): void {
    console[this.#method] = this.#real;
  }
}
