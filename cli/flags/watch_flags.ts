/** The flags of `watch`. */
import { checkPrecision } from "./engine_flags.ts";
import type { FlagTable, Values } from "./flag.ts";
import { LOG } from "./forms.ts";
import { MEASURING } from "./measure_flags.ts";
import { PREDICT_FROM_MODELFOLDER, PREDICTION } from "./predict_flags.ts";

const FOLDERS = "Folders";
const WATCHING = "Watching";
const DAY_SECONDS = 86_400;

export const WATCH = {
  input: {
    kind: "text",
    names: ["IN"],
    value: "FOLDER",
    required: true,
    group: FOLDERS,
    help:
      "Folder that cases arrive in: images named CASE_0000.ENDING (0001 the second channel, ...), or a folder of DICOM for " +
      "each case (CASE_0000, CASE_0001, ... where there are several channels).",
  },
  output: {
    kind: "text",
    names: ["OUT"],
    value: "FOLDER",
    required: true,
    group: FOLDERS,
    help: "Folder for the segmentations, as predict writes them; made if it is not there.",
  },
  done: {
    kind: "text",
    names: ["--done"],
    value: "FOLDER",
    beyond: true,
    group: FOLDERS,
    help:
      "Move the images of predicted cases there; the folder may lie in IN. Without it they stay, and a case is left as it " +
      "is once its segmentation is in OUT.",
  },
  failed: {
    kind: "text",
    names: ["--failed"],
    value: "FOLDER",
    beyond: true,
    group: FOLDERS,
    help:
      "Move the images of cases that cannot be predicted there, with the reason beside, CASE.failed.txt. Without it they " +
      "stay, the reason is in OUT, and they are tried again once they have changed or the text is removed.",
  },
  series: {
    ...PREDICT_FROM_MODELFOLDER.series,
    group: FOLDERS,
    help: `${PREDICT_FROM_MODELFOLDER.series.help} It may name those of several cases.`,
  },
  modelFolder: PREDICT_FROM_MODELFOLDER.modelFolder,
  firstStage: {
    kind: "text",
    names: ["--first-stage"],
    value: "FOLDER",
    beyond: true,
    group: PREDICT_FROM_MODELFOLDER.modelFolder.group,
    help: "Of a cascade's second stage: the first one's model, of the same dataset and plans. It is run before it.",
  },
  folds: PREDICTION.folds,
  checkpoint: PREDICTION.checkpoint,
  assumePlansNetwork: PREDICTION.assumePlansNetwork,
  settle: {
    kind: "number",
    names: ["--settle"],
    value: "SECONDS",
    range: { min: 0, max: DAY_SECONDS },
    default: 10,
    beyond: true,
    group: WATCHING,
    help: "A case is taken once sizes and times of its files have not changed for so long. Default: 10.",
  },
  poll: {
    kind: "number",
    names: ["--poll"],
    value: "SECONDS",
    range: { min: 0.05, max: DAY_SECONDS },
    default: 5,
    beyond: true,
    group: WATCHING,
    help: "How often to look, which works on any disk. Default: 5.",
  },
  once: {
    kind: "switch",
    names: ["--once"],
    beyond: true,
    group: WATCHING,
    help: "Do the cases that are there and do not change for --settle seconds, then end.",
  },
  stepSize: PREDICTION.stepSize,
  disableTta: PREDICTION.disableTta,
  nonFinite: PREDICTION.nonFinite,
  device: PREDICTION.device,
  gpuChoice: PREDICTION.gpuChoice,
  allowCpu: PREDICTION.allowCpu,
  allowSoftwareGpu: PREDICTION.allowSoftwareGpu,
  precision: PREDICTION.precision,
  threads: PREDICTION.threads,
  maxMemory: PREDICTION.maxMemory,
  deterministic: PREDICTION.deterministic,
  saveProbabilities: PREDICTION.saveProbabilities,
  outputFormats: PREDICTION.outputFormats,
  segmentCodes: PREDICTION.segmentCodes,
  report: {
    kind: "text",
    names: ["--report"],
    value: "FOLDER",
    beyond: true,
    group: PREDICTION.saveProbabilities.group,
    help:
      "Write a report of each case, CASE.report.json, as predict's --report writes one. The folder may be OUT. Without " +
      "--done a case is left as it is once this is there too.",
  },
  statistics: {
    kind: "text",
    names: ["--statistics"],
    value: "FOLDER",
    beyond: true,
    group: PREDICTION.saveProbabilities.group,
    help:
      "Write what each segmentation holds, CASE.statistics.json and .csv, as predict's --statistics does. The folder may be " +
      "OUT. A case that cannot be measured, or of which this cannot be written, has failed; its segmentation " +
      "stays. Without --done a case is left as it is once these are there too.",
  },
  mesh: {
    ...MEASURING.mesh,
    group: PREDICTION.saveProbabilities.group,
    help: `${MEASURING.mesh.help} As of --statistics, a case without CASE_meshes is not left as it is.`,
  },
  log: LOG,
  quiet: PREDICTION.quiet,
  verbose: PREDICTION.verbose,
  disableProgressBar: PREDICTION.disableProgressBar,
} as const satisfies FlagTable;

export type WatchValues = Values<typeof WATCH>;

/** What the command line alone says. @throws UsageError */
export function checkWatch(values: WatchValues): void {
  checkPrecision(values);
}
