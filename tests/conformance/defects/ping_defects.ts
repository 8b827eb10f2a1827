/** Stores with a defect in `ping()`. */
import { type Defect, fullStore, rejectUnreachable } from "./defect.ts";

export const PING_DEFECTS: Defect[] = [
  {
    name: "rejects ping() although its backend answers",
    create: fullStore(() => ({ ping: rejectUnreachable })),
    foundBy: "ping() resolves while the backend answers",
  },
  {
    name: "hangs in ping() although its backend answers",
    create: fullStore(() => ({ ping: () => new Promise(() => {}) })),
    foundBy: "ping() resolves while the backend answers",
    options: { timeout: 0.1 },
  },
  {
    name: "removes the sessions in ping()",
    create: fullStore((correct) => ({ ping: () => correct.clear() })),
    foundBy: "ping() resolves while the backend answers",
  },
];
