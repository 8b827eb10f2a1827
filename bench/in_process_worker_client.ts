/** Asks a worker that measures one subject. */
import type { Order, Round } from "./in_process_worker.ts";
import type { SubjectName } from "./subjects/mod.ts";

export class InProcess {
  readonly #name: SubjectName;
  readonly #worker: Worker;

  constructor(name: SubjectName) {
    this.#name = name;
    this.#worker = new Worker(import.meta.resolve("./in_process_worker.ts"), { type: "module", name });
  }

  /** One thing at a time. */
  ask(order: Order): Promise<Round | undefined> {
    return new Promise((resolve, reject) => {
      const fail = (why: string): void => reject(new Error(`${this.#name}: ${why}`));
      this.#worker.onmessage = ({ data }) => {
        if (data.failed === undefined) resolve(data.done);
        else fail(data.failed);
      };
      this.#worker.onerror = (event) => fail(event.message);
      this.#worker.postMessage(order);
    });
  }

  end(): void {
    this.#worker.terminate();
  }
}
