/** Keeps what is written to one method of the console while a test runs. */
export class Captured implements Disposable {
  readonly #method: "warn" | "error";
  readonly #real: (...data: unknown[]) => void;
  /** The lines, in their order. */
  readonly lines: string[] = [];

  constructor(method: "warn" | "error") {
    this.#method = method;
    this.#real = console[method];
    console[method] = (...data: unknown[]) => {
      this.lines.push(data.map(String).join(" "));
    };
  }

  [Symbol.dispose](): void {
    console[this.#method] = this.#real;
  }
}
