/**
 * Sends commands to the worker that measures a subject.
 *
 * @module
 */
import type { CommandName, Commands, Reply } from "./worker.ts";
import type { SubjectName } from "./subjects/mod.ts";

/** A worker for one subject. It runs one command at a time. The caller must await each command. */
export class WorkerClient implements Disposable {
  readonly #subject: SubjectName;
  readonly #worker: Worker;

  constructor(subject: SubjectName) {
    this.#subject = subject;
    this.#worker = new Worker(import.meta.resolve("./worker.ts"), { type: "module", name: subject });
  }

  /** Runs a command and returns its result. */
  run<Name extends CommandName>(
    command: Name,
    parameters: Commands[Name]["parameters"],
  ): Promise<Commands[Name]["result"]> {
    return new Promise((resolve, reject) => {
      const fail = (reason: string): void => reject(new Error(`${this.#subject}, ${command}: ${reason}`));
      this.#worker.onmessage = ({ data }: MessageEvent<Reply>) => {
        if ("error" in data) fail(data.error);
        else resolve(data.result as Commands[Name]["result"]);
      };
      this.#worker.onerror = (event) => fail(event.message);
      this.#worker.postMessage({ command, ...parameters });
    });
  }

  /** Terminates the worker. */
  [Symbol.dispose](): void {
    this.#worker.terminate();
  }
}
