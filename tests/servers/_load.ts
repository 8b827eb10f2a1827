/**
 * Visitors who keep coming, whatever happens to the store.
 *
 * @module
 */
import { type SessionMiddleware, SessionStoreError } from "../../mod.ts";
import { setCookies, visit } from "../helpers/request.ts";

/** What became of the requests. */
export interface Outcome {
  sent: number;
  answered: number;
  /** With 503. */
  refused: number;
  /** Acknowledged writes that the store does not have. */
  lost: number;
}

/** A load, going on. */
export interface Load {
  /** How many requests were answered up to now. */
  readonly answered: number;
  /** How many were refused. */
  readonly refused: number;
  /** Lets the visitors leave, and looks whether the store has what it acknowledged; it must be back by then. */
  stop(): Promise<Outcome>;
}

/** What a visitor has been told is written. */
interface Acknowledged {
  cookie: string;
  /** Numbers that grow, each written in the place of the one before. */
  numbers: number[];
}

/** How many visitors there are at a time, and after how many answers another one comes in the place of each. */
const VISITORS = 16;
const STAY = 25;

/** Starts a load. Each request reads a value and writes another one. An error other than a 503 fails `stop()`. */
export function startLoad(middleware: SessionMiddleware): Load {
  const outcome: Outcome = { sent: 0, answered: 0, refused: 0, lost: 0 };
  const sessions: Acknowledged[] = [];
  let stopped = false;

  /** Notes what is missing, once. */
  function compare({ numbers }: Acknowledged, found: unknown): void {
    const there = typeof found === "number" ? found : 0;
    while ((numbers.at(-1) ?? 0) > there) {
      numbers.pop();
      outcome.lost++;
    }
  }

  async function request(session: Acknowledged, number: number): Promise<void> {
    outcome.sent++;
    try {
      const cookie = session.cookie === "" ? undefined : session.cookie;
      const response = await visit(middleware, { cookie }, async (context) => {
        compare(session, await context.security.session.get("number"));
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
      for (let number = 1; !stopped && session.numbers.length < STAY; number++) await request(session, number);
      if (session.cookie !== "") sessions.push(session);
    }
  }

  const visitors = Promise.all(Array.from({ length: VISITORS }, visitor));
  // It is awaited in the end, and may fail before.
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
          compare(session, await context.security.session.get("number"));
        });
      }
      return outcome;
    },
  };
}
