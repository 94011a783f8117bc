/**
 * The flags of preprocessing, as upstream has them (nnunetv2/experiment_planning/plan_and_preprocess_entrypoints.py), then those that
 * Python's nnU-Net does not have.
 */
import type { FlagTable, Values } from "./flag.ts";
import { LOG, NAME, NO_PROGRESS_BAR, THREADS } from "./forms.ts";
import { DATASETS, FINGERPRINT, PLANNING } from "./planning_flags.ts";

const DATA = "Preprocessing";
const MACHINE = "Machine";
const OUTPUT = "Output";

/** What preprocessing takes, whatever the command. */
export const PREPROCESSING = {
  configurations: {
    kind: "list",
    names: ["-c"],
    value: "CONFIG",
    form: NAME,
    default: ["2d", "3d_fullres", "3d_lowres"],
    group: DATA,
    help: "Configurations to preprocess; those that the plans don't have are left out.",
  },
  processes: {
    kind: "integers",
    names: ["-np"],
    value: "N",
    range: THREADS,
    group: MACHINE,
    help:
      "Threads, one number, or as many as there are configurations: the largest counts, as all configurations are " +
      "made in one pass. Default: all cores.",
  },
  format: {
    kind: "choice",
    names: ["--format"],
    value: "FORMAT",
    choices: ["bricks", "npz", "npy", "b2nd"],
    default: "bricks",
    beyond: true,
    group: DATA,
    help: "bricks: training here reads it fastest. npz: what Python's nnU-Net 2.5 trains from (and training here as " +
      "well). npy: the same unpacked. b2nd: what Python's nnU-Net 2.6 and later trains from.",
  },
  nan: {
    kind: "choice",
    names: ["--nan"],
    value: "WHAT",
    choices: ["refuse", "zero", "min"],
    default: "refuse",
    beyond: true,
    group: DATA,
    help: "Voxels that are NaN or infinite: refuse the case, or make them 0 or the channel's smallest value.",
  },
  redo: {
    kind: "switch",
    names: ["--redo"],
    beyond: true,
    group: DATA,
    help: "Make all cases again, also those that an earlier run made of the same files with the same settings.",
  },
} as const satisfies FlagTable;

const MAX_MEMORY = {
  ...FINGERPRINT.maxMemory,
  help:
    "Memory that the run may take, as 4G or 512M. Default: half of what is free for cases being worked on at the same time.",
} as const;

export const PREPROCESS = {
  ...DATASETS,
  plansName: {
    kind: "text",
    names: ["-plans_name"],
    value: "NAME",
    form: NAME,
    default: "nnUNetPlans",
    group: DATA,
    help: "Plans to preprocess by: nnUNetPlans, nnUNetResEncUNetMPlans, ...",
  },
  ...PREPROCESSING,
  share: {
    kind: "switch",
    names: ["--share"],
    beyond: true,
    group: DATA,
    help:
      "Share the cases with all runs of the same command, whenever and wherever they are started: each case is made by " +
      "one of them, and those of a run that was killed by another. In a SLURM array or a Kubernetes indexed job it is " +
      "on by itself, but for --redo.",
  },
  allowGeometryMismatch: FINGERPRINT.allowGeometryMismatch,
  maxMemory: MAX_MEMORY,
  report: {
    ...FINGERPRINT.report,
    group: OUTPUT,
    help: "Write what was made, and the cases that failed and why, as JSON.",
  },
  log: LOG,
  verbose: { kind: "switch", names: ["--verbose"], group: OUTPUT, help: "Say more; no progress line." },
  noProgressBar: NO_PROGRESS_BAR,
} as const satisfies FlagTable;

export const PLAN_AND_PREPROCESS = {
  ...DATASETS,
  ...FINGERPRINT,
  fingerprintProcesses: {
    kind: "integer",
    names: ["-npfp"],
    value: "N",
    range: THREADS,
    group: MACHINE,
    help: "Threads that read cases for the fingerprint. Default: all cores.",
  },
  noPreprocessing: {
    kind: "switch",
    names: ["--no_pp"],
    group: DATA,
    help: "Stop after planning.",
  },
  ...PLANNING,
  ...PREPROCESSING,
  maxMemory: MAX_MEMORY,
  report: {
    ...FINGERPRINT.report,
    group: OUTPUT,
    help: "Write what the check found, what was made, and the cases that failed and why, as JSON.",
  },
  log: LOG,
  verbose: { kind: "switch", names: ["--verbose"], group: OUTPUT, help: "Say more; no progress line." },
  noProgressBar: NO_PROGRESS_BAR,
} as const satisfies FlagTable;

export type PreprocessValues = Values<typeof PREPROCESS>;
