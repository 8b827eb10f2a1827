/** Every defective store. */
import { ADMIN_DEFECTS } from "./admin_defects.ts";
import { CONCURRENCY_DEFECTS } from "./concurrency_defects.ts";
import { COPY_DEFECTS } from "./copy_defects.ts";
import { DEADLINE_DEFECTS } from "./deadline_defects.ts";
import type { Defect } from "./defect.ts";
import { DEVICE_DEFECTS } from "./device_defects.ts";
import { KEY_DEFECTS } from "./key_defects.ts";
import { MOVE_DEFECTS } from "./move_defects.ts";
import { PING_DEFECTS } from "./ping_defects.ts";
import { PRINCIPAL_DEFECTS } from "./principal_defects.ts";
import { RECORD_CONCURRENCY_DEFECTS } from "./record_concurrency_defects.ts";
import { RECORD_DEFECTS } from "./record_defects.ts";
import { SESSION_DEFECTS } from "./session_defects.ts";
import { UNREACHABLE_BACKEND_DEFECTS } from "./unreachable_backend_defects.ts";
import { VALUE_DEFECTS } from "./value_defects.ts";
import { VERSION_DEFECTS } from "./version_defects.ts";
import { WATCH_DEFECTS } from "./watch_defects.ts";

export const DEFECTS: readonly Defect[] = [
  ...SESSION_DEFECTS,
  ...KEY_DEFECTS,
  ...VALUE_DEFECTS,
  ...COPY_DEFECTS,
  ...CONCURRENCY_DEFECTS,
  ...UNREACHABLE_BACKEND_DEFECTS,
  ...RECORD_DEFECTS,
  ...VERSION_DEFECTS,
  ...MOVE_DEFECTS,
  ...DEVICE_DEFECTS,
  ...DEADLINE_DEFECTS,
  ...RECORD_CONCURRENCY_DEFECTS,
  ...PRINCIPAL_DEFECTS,
  ...PING_DEFECTS,
  ...WATCH_DEFECTS,
  ...ADMIN_DEFECTS,
];
