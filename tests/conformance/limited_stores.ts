/** Tests of stores for which checks are skipped. `skipped_checks_test.ts` runs them. */
import { testSessionStore } from "../../src/testing.ts";
import { basicStore, fullStore } from "./defects/defect.ts";

/** The smallest sizes, so that the tests are fast. */
const maxValueBytes = 1024;

testSessionStore("one process", basicStore(() => ({})), { maxValueBytes, shared: false });
testSessionStore("basic store", basicStore(() => ({})), { maxValueBytes });
testSessionStore("RecordStore", fullStore(() => ({})), { maxValueBytes, values: "all", traces: "grace" });
