/**
 * The areas of the suite, in the order in which they are tested.
 *
 * @module
 */
import type { Area } from "./bench.ts";
import { LIFE_CYCLE } from "./life_cycle.ts";
import { RECORDS } from "./records.ts";
import { REQUIRED } from "./required.ts";
import { USERS } from "./users.ts";
import { VALUES } from "./values.ts";

/** What is tested of a store. */
export const AREAS: readonly Area[] = [...REQUIRED, ...VALUES, ...RECORDS, ...USERS, ...LIFE_CYCLE];
