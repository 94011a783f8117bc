/** The flags of ensemble, as upstream has them (nnunetv2/ensembling/ensemble.py), then ours. */
import type { FlagTable } from "./flag.ts";
import { CASE_THREADS, LOG, MAX_MEMORY } from "./forms.ts";

const DATA = "Probabilities";
const OUTPUT = "Output";

export const ENSEMBLE = {
  folders: {
    kind: "list",
    names: ["-i"],
    value: "FOLDER",
    required: true,
    group: DATA,
    help:
      "Folders of predictions made with --save_probabilities, one for each model; all hold the same cases. dataset.json and " +
      "plans.json are those of the first.",
  },
  output: {
    kind: "text",
    names: ["-o"],
    value: "FOLDER",
    required: true,
    group: OUTPUT,
    help: "Folder of the segmentations.",
  },
  threads: {
    ...CASE_THREADS,
    help: "Threads, each with a case. Default: the variable nnUNet_def_n_proc, or all cores.",
  },
  saveProbabilities: {
    kind: "switch",
    names: ["--save_npz"],
    group: OUTPUT,
    help: "Also write the mean probabilities, CASE.npz, and CASE.pkl.",
  },
  log: LOG,
  maxMemory: {
    ...MAX_MEMORY,
    help:
      "Memory that the run may take, as 4G or 512M. Default: half of what is free for cases that are done at the same time.",
  },
} as const satisfies FlagTable;
