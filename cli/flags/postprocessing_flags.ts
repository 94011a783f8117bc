/**
 * The flags of determine_postprocessing and apply_postprocessing, as upstream has them
 * (nnunetv2/postprocessing/remove_connected_components.py), then ours.
 */
import type { FlagTable } from "./flag.ts";
import { CASE_THREADS, LOG, MAX_MEMORY } from "./forms.ts";

const DATA = "Segmentations";
const MODEL = "Model";
const OUTPUT = "Output";

const COMMON = {
  threads: {
    ...CASE_THREADS,
    help: "Threads that work on cases. Default: the variable nnUNet_def_n_proc, or all cores.",
  },
  plansFile: {
    kind: "text",
    names: ["-plans_json"],
    value: "FILE",
    group: MODEL,
    help: "The plans.json of the model that predicted. Default: plans.json in the folder -i.",
  },
  datasetFile: {
    kind: "text",
    names: ["-dataset_json"],
    value: "FILE",
    group: MODEL,
    help: "The dataset.json with the labels and the file ending. Default: dataset.json in the folder -i.",
  },
  log: LOG,
  maxMemory: {
    ...MAX_MEMORY,
    help:
      "Memory that the run may take, as 4G or 512M. Default: half of what is free for cases that are worked on at the same time.",
  },
} as const satisfies FlagTable;

export const DETERMINE_POSTPROCESSING = {
  input: {
    kind: "text",
    names: ["-i"],
    value: "FOLDER",
    required: true,
    group: DATA,
    help: "Folder of the predictions, best those of a whole cross-validation.",
  },
  references: {
    kind: "text",
    names: ["-ref"],
    value: "FOLDER",
    required: true,
    group: DATA,
    help: "Folder of the true segmentations, which have the same file names.",
  },
  ...COMMON,
  removePostprocessed: {
    kind: "switch",
    names: ["--remove_postprocessed"],
    group: OUTPUT,
    help: "Don't keep the postprocessed segmentations (the folder postprocessed in -i).",
  },
} as const satisfies FlagTable;

export const APPLY_POSTPROCESSING = {
  input: {
    kind: "text",
    names: ["-i"],
    value: "FOLDER",
    required: true,
    group: DATA,
    help: "Folder of the segmentations.",
  },
  output: {
    kind: "text",
    names: ["-o"],
    value: "FOLDER",
    required: true,
    group: OUTPUT,
    help: "Folder for the postprocessed segmentations; made if it is not there, files of the same names are replaced.",
  },
  postprocessing: {
    kind: "text",
    names: ["-pp_pkl_file"],
    value: "FILE",
    required: true,
    group: MODEL,
    help:
      "The postprocessing.pkl that determine_postprocessing or find_best_configuration has written, here or in Python; " +
      "postprocessing.json is taken as well.",
  },
  ...COMMON,
} as const satisfies FlagTable;
