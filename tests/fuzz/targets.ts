/** What is fuzzed: every reader of files that come from elsewhere. */
import { dicomTargets } from "./dicom_targets.ts";
import { imageTargets, preprocessedTargets, torchTargets } from "./format_targets.ts";
import { jsonTargets, planningTargets, recordTargets } from "./record_targets.ts";
import { shareTargets } from "./share_targets.ts";
import type { Target } from "./target.ts";

export const TARGETS: readonly Target[] = [
  ...imageTargets,
  ...dicomTargets,
  ...torchTargets,
  ...preprocessedTargets,
  ...recordTargets,
  ...jsonTargets,
  ...planningTargets,
  ...shareTargets,
];
