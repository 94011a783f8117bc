/** The list of cases: a new operator gets one here, and with it test suite, self-test, checksum and bench. */
import type { EngineCase } from "./case.ts";
import { NETWORK_CASES } from "./networks.ts";
import { RESAMPLE_CASES } from "./resample.ts";
import { TRAINING_CASES } from "./training.ts";
import { VOLUME_CASES } from "./volume.ts";

export const ENGINE_CASES: readonly EngineCase[] = [
  ...VOLUME_CASES,
  ...RESAMPLE_CASES,
  ...NETWORK_CASES,
  ...TRAINING_CASES,
];
