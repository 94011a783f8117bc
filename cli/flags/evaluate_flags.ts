/** The flags of evaluate_folder and evaluate_simple, as upstream has them (nnunetv2/evaluation/evaluate_predictions.py), then ours. */
import type { FlagTable } from "./flag.ts";
import { CASE_THREADS, CSV_FILE, HTML_FILE, JSON_FILE, LOG, MAX_MEMORY } from "./forms.ts";

const DATA = "Segmentations";
const LABELS = "Labels";
const OUTPUT = "Output";

/** What a segmentation can hold. */
const LABEL = { min: -(2 ** 31), max: 2 ** 31 - 1 } as const;

const FOLDERS = {
  references: {
    kind: "text",
    names: ["gt_folder"],
    value: "FOLDER",
    required: true,
    group: DATA,
    help: "Folder of the true segmentations.",
  },
  predictions: {
    kind: "text",
    names: ["pred_folder"],
    value: "FOLDER",
    required: true,
    group: DATA,
    help: "Folder of the predicted segmentations, which have the same file names.",
  },
} as const satisfies FlagTable;

const COMMON = {
  output: {
    kind: "text",
    names: ["-o"],
    value: "FILE",
    form: JSON_FILE,
    group: OUTPUT,
    help: "The summary; its name ends in .json. Default: summary.json in the folder of the predictions.",
  },
  threads: {
    ...CASE_THREADS,
    help: "Threads that read and compare cases. Default: the variable nnUNet_def_n_proc, or all cores.",
  },
  chill: {
    kind: "switch",
    names: ["--chill"],
    group: DATA,
    help: "Compare what is predicted, also where not every true segmentation has a prediction.",
  },
  minDice: {
    kind: "number",
    names: ["--min-dice", "--min_dice"],
    value: "DICE",
    range: { min: 0, max: 1 },
    beyond: true,
    group: OUTPUT,
    help: "Exit code 1 if the mean Dice of the foreground is below DICE, from 0 to 1, or is no number.",
  },
  surface: {
    kind: "switch",
    names: ["--surface"],
    beyond: true,
    group: OUTPUT,
    help:
      "Measure surfaces as well: surface Dice (DeepMind's definition), 95 % Hausdorff distance and average symmetric surface " +
      "distance in mm (MONAI's); written into surface.json beside the summary.",
  },
  tolerance: {
    kind: "number",
    names: ["--tolerance"],
    value: "MM",
    range: { min: 0, max: 1e6 },
    beyond: true,
    group: OUTPUT,
    help: "With --surface: how far surfaces may lie apart that the surface Dice takes as one. Default: 1.",
  },
  csv: {
    kind: "text",
    names: ["--csv"],
    value: "FILE",
    form: CSV_FILE,
    beyond: true,
    group: OUTPUT,
    help: "Write all metrics as a table, one line a case and label; its name ends in .csv.",
  },
  html: {
    kind: "text",
    names: ["--html"],
    value: "FILE",
    form: HTML_FILE,
    beyond: true,
    group: OUTPUT,
    help:
      "Write a report that needs nothing else: distributions by label, pictures of the worst cases; its name ends in .html.",
  },
  images: {
    kind: "text",
    names: ["--images"],
    value: "FOLDER",
    beyond: true,
    group: OUTPUT,
    help:
      "With --html: folder of the images, named as for predict, that the labels are drawn over; of any format that the reader of the " +
      "segmentations takes.",
  },
  log: LOG,
  maxMemory: {
    ...MAX_MEMORY,
    help:
      "Memory that the run may take, as 4G or 512M. Default: half of what is free for cases being compared at the same time.",
  },
} as const satisfies FlagTable;

export const EVALUATE_FOLDER = {
  ...FOLDERS,
  datasetFile: {
    kind: "text",
    names: ["-djfile"],
    value: "FILE",
    required: true,
    group: LABELS,
    help: "The dataset.json with the labels and the file ending.",
  },
  plansFile: {
    kind: "text",
    names: ["-pfile"],
    value: "FILE",
    required: true,
    group: LABELS,
    help: "The plans.json of the model that predicted.",
  },
  ...COMMON,
} as const satisfies FlagTable;

export const EVALUATE_SIMPLE = {
  ...FOLDERS,
  labels: {
    kind: "integers",
    names: ["-l"],
    value: "LABEL",
    range: LABEL,
    required: true,
    group: LABELS,
    help: "The labels to compare, integers.",
  },
  ignoreLabel: {
    kind: "integer",
    names: ["-il"],
    value: "LABEL",
    range: LABEL,
    group: LABELS,
    help: "Voxels that have this label in the true segmentation are left out.",
  },
  ...COMMON,
} as const satisfies FlagTable;
