/**
 * A load of requests that continues while a store fails.
 *
 * @module
 */
import { type SessionMiddleware, SessionStoreError } from "../../mod.ts";
import { setCookies, visit } from "../helpers/request.ts";

/** The number of requests by outcome. */
export interface Outcome {
  sent: number;
  answered: number;
  /** Failed with status 503. */
  refused: number;
  /** Acknowledged writes that the store has lost. */
  lost: number;
}

/** A running load. */
export interface Load {
  /** The number of requests that were answered. */
  readonly answered: number;
  /** The number of requests that were refused. */
  readonly refused: number;
  /** Stops the load and checks every acknowledged write. The store must work again by then. */
  stop(): Promise<Outcome>;
}

/** The acknowledged writes of a visitor. */
interface Acknowledged {
  cookie: string;
  /** Increasing numbers, each of which replaced the one before. */
  numbers: number[];
}

/** The number of concurrent visitors. */
const VISITORS = 16;

/** How many answers a visitor gets before another one takes its place. */
const ANSWERS_PER_VISITOR = 25;

/**
 * Starts a load. Each request reads a number and writes the next one. `stop()` rejects after an
 * error other than a 503.
 */
export function startLoad(middleware: SessionMiddleware): Load {
  const outcome: Outcome = { sent: 0, answered: 0, refused: 0, lost: 0 };
  const sessions: Acknowledged[] = [];
  let stopped = false;

  /** Counts the writes that are missing, each once. */
  function countLost({ numbers }: Acknowledged, found: unknown): void {
    const stored = typeof found === "number" ? found : 0;
    while ((numbers.at(-1) ?? 0) > stored) {
      numbers.pop();
      outcome.lost++;
    }
  }

  async function request(session: Acknowledged, number: number): Promise<void> {
    outcome.sent++;
    try {
      const cookie = session.cookie === "" ? undefined : session.cookie;
      const response = await visit(middleware, { cookie }, async (context) => {
        countLost(session, await context.security.session.get("number"));
        await context.security.session.set("number", number);
      });
      outcome.answered++;
      for (const { name, value } of setCookies(response.headers)) session.cookie = `${name}=${value}`;
      session.numbers.push(number);
    } catch (error) {
      if (!(error instanceof SessionStoreError)) throw error;
      outcome.refused++;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  async function visitor(): Promise<void> {
    while (!stopped) {
      const session: Acknowledged = { cookie: "", numbers: [] };
      for (let number = 1; !stopped && session.numbers.length < ANSWERS_PER_VISITOR; number++) {
        await request(session, number);
      }
      if (session.cookie !== "") sessions.push(session);
    }
  }

  const visitors = Promise.all(Array.from({ length: VISITORS }, visitor));
  // `stop()` awaits this promise. Without a handler, a rejection before that would end the process.
  visitors.catch(() => {});
  return {
    get answered(): number {
      return outcome.answered;
    },
    get refused(): number {
      return outcome.refused;
    },
    async stop(): Promise<Outcome> {
      stopped = true;
      await visitors;
      for (const session of sessions) {
        await visit(middleware, { cookie: session.cookie }, async (context) => {
          countLost(session, await context.security.session.get("number"));
        });
      }
      return outcome;
    },
  };
}
