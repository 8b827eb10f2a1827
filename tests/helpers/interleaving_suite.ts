/**
 * Plays the rounds of the interleaving tests.
 *
 * Two environment variables change what is played: INTERLEAVING_SEED repeats the rounds from a seed
 * on, and INTERLEAVING_ROUNDS is a factor of their number.
 *
 * @module
 */
import { assert } from "./assert.ts";
import type { Defect } from "./interleaving_defects.ts";
import { type Backend, Round } from "./interleaving_round.ts";
import { type Scenario, SCENARIOS } from "./interleaving_scenarios.ts";

/** The seed of the first round. The next one adds 1. */
const SEED = Number(Deno.env.get("INTERLEAVING_SEED") ?? crypto.getRandomValues(new Int32Array(1))[0]);
const ROUNDS = Number(Deno.env.get("INTERLEAVING_ROUNDS") ?? 1);

/** A round in which a rule did not hold. */
export interface Failure {
  readonly seed: number;
  readonly reason: string;
}

/** Plays the rounds of a scenario and returns those that failed. */
export async function playRounds(
  backend: Backend,
  scenario: Scenario,
  { rounds = scenario.rounds, stopAt }: {
    rounds?: number;
    /** No further rounds are played after one has failed for this reason. */
    stopAt?: string;
  } = {},
): Promise<Failure[]> {
  const failures: Failure[] = [];
  let next = 0;
  const play = async (): Promise<void> => {
    while (next < rounds && !(stopAt !== undefined && failures.some(({ reason }) => reason.includes(stopAt)))) {
      const seed = SEED + next++ | 0;
      try {
        const round = new Round(backend, seed, scenario.options);
        await round.start();
        await scenario.play(round);
      } catch (error) {
        failures.push({ seed, reason: error instanceof Error ? error.message : String(error) });
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(scenario.parallel, rounds) }, play));
  return failures;
}

/** What {@linkcode testInterleavings} tests. */
export interface InterleavingOptions {
  /** @default all */
  scenarios?: readonly Scenario[];
  /**
   * The part of the rounds that this store plays. The slower it is, the smaller.
   *
   * @default 1
   */
  share?: number;
  /** @default none */
  defects?: readonly Defect[];
}

/**
 * Registers a test for each scenario and each defect.
 *
 * @param name the store
 * @param open opens the backend, at the first test
 */
export function testInterleavings(
  name: string,
  open: () => Backend | Promise<Backend>,
  { scenarios = SCENARIOS, share = 1, defects = [] }: InterleavingOptions = {},
): void {
  let opened: Promise<Backend> | undefined;
  const test = (title: string, run: (backend: Backend) => Promise<void>): void => {
    Deno.test({
      name: `${name}, interleaved: ${title}`,
      // The connections stay open for the next test.
      sanitizeOps: false,
      sanitizeResources: false,
      fn: async () => await run(await (opened ??= Promise.resolve(open()))),
    });
  };
  for (const scenario of scenarios) {
    test(scenario.name, async (backend) => {
      const rounds = Math.ceil(scenario.rounds * share * ROUNDS);
      const failures = await playRounds(backend, scenario, { rounds });
      assert(failures.length === 0, `${failures.length} of ${rounds} rounds failed:\n${summary(failures)}`);
    });
  }
  for (const { name, scenario: beginning, violation, plant } of defects) {
    test(`finds ${name}`, async (backend) => {
      const scenario = scenarios.find(({ name }) => name.startsWith(beginning));
      assert(scenario);
      const failures = await playRounds(plant(backend), scenario, {
        stopAt: violation,
      });
      assert(failures.some(({ reason }) => reason.includes(violation)), `found only:\n${summary(failures)}`);
    });
  }
}

/** Counts the failures for each reason, with the seed that repeats the first one. */
function summary(failures: readonly Failure[]): string {
  const seeds = Object.groupBy(failures, ({ reason }) => reason);
  return Object.entries(seeds)
    .map(([reason, all = []]) => `${all.length} of them: ${reason} (repeat with INTERLEAVING_SEED=${all[0]?.seed})`)
    .join("\n");
}
