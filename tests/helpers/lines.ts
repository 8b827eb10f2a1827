/** Reads the output of a child process, line by line. */
export class Lines {
  readonly #read: AsyncIterator<string>;
  #text = "";

  constructor(stream: ReadableStream<Uint8Array<ArrayBuffer>>) {
    this.#read = stream.pipeThrough(new TextDecoderStream())[Symbol.asyncIterator]();
  }

  /** Waits for a line, and skips those before it. Rejects if the process ends before. */
  async find(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const end = this.#text.indexOf("\n");
      const found = end === -1 ? null : pattern.exec(this.#text.slice(0, end));
      this.#text = this.#text.slice(end + 1);
      if (found !== null) return found;
      if (end !== -1) continue;
      const { value, done } = await this.#read.next();
      if (done) throw new Error(`The process ended without a line ${pattern}`);
      this.#text += value;
    }
  }

  /** Reads the rest. */
  async end(): Promise<void> {
    while (!(await this.#read.next()).done);
  }
}
