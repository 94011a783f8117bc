/**
 * The flags of fingerprint extraction and planning, as upstream has them (nnunetv2/experiment_planning/
 * plan_and_preprocess_entrypoints.py), then those that Python's nnU-Net does not have. `plan_and_preprocess` shares them.
 */
import type { FlagTable, Values } from "./flag.ts";
import { CASE_THREADS, DATASET, JSON_FILE, LOG, MAX_MEMORY, NAME, NO_PROGRESS_BAR } from "./forms.ts";

const DATA = "Dataset";
const CHECK = "Check of the dataset";
const PLAN = "Planning";
const OUTPUT = "Output";

export const DATASETS = {
  datasets: {
    kind: "list",
    names: ["-d"],
    value: "ID",
    form: DATASET,
    required: true,
    group: DATA,
    help: "Datasets by number (4) or name (Dataset004_Hippocampus), in nnUNet_raw.",
  },
} as const satisfies FlagTable;

/** What making a fingerprint takes, whatever the command. */
export const FINGERPRINT = {
  extractor: {
    kind: "text",
    names: ["-fpe"],
    value: "NAME",
    default: "DatasetFingerprintExtractor",
    group: DATA,
    help: "Name of the fingerprint extractor; there is only this one.",
  },
  clean: {
    kind: "switch",
    names: ["--clean"],
    group: DATA,
    help: "Make the fingerprint anew where there is one; needed after the dataset has changed.",
  },
  verify: {
    kind: "switch",
    names: ["--verify_dataset_integrity"],
    group: CHECK,
    help: "Check the dataset. It is done anyway: in the same read, and remembered until a file changes.",
  },
  noVerify: {
    kind: "switch",
    names: ["--no_verify"],
    beyond: true,
    group: CHECK,
    help: "Don't check the dataset.",
  },
  allowGeometryMismatch: {
    kind: "switch",
    names: ["--allow_geometry_mismatch"],
    beyond: true,
    group: CHECK,
    help:
      "Take images and segmentations whose headers place them more than a voxel apart, voxel by voxel, with a warning.",
  },
  report: {
    kind: "text",
    names: ["--report"],
    form: JSON_FILE,
    value: "FILE",
    beyond: true,
    group: CHECK,
    help: "Write what the check found as JSON.",
  },
  maxMemory: {
    ...MAX_MEMORY,
    help:
      "Memory that the run may take, as 4G or 512M. Default: half of what is free for cases being read at the same time.",
  },
} as const satisfies FlagTable;

export const EXTRACT_FINGERPRINT = {
  ...DATASETS,
  ...FINGERPRINT,
  threads: {
    ...CASE_THREADS,
    help:
      "Threads that read cases. Default: the variable nnUNet_def_n_proc, or all cores. The fingerprint does not depend on it.",
  },
  log: LOG,
  verbose: { kind: "switch", names: ["--verbose"], group: OUTPUT, help: "Say more; no progress line." },
  noProgressBar: NO_PROGRESS_BAR,
} as const satisfies FlagTable;

/** What planning takes, whatever the command. */
export const PLANNING = {
  planner: {
    kind: "text",
    names: ["-pl"],
    value: "NAME",
    default: "ExperimentPlanner",
    group: PLAN,
    help: "Planner: ExperimentPlanner, nnUNetPlannerResEncM, nnUNetPlannerResEncL, nnUNetPlannerResEncXL, ...",
  },
  memoryTarget: {
    kind: "number",
    names: ["-gpu_memory_target"],
    value: "GB",
    range: { above: 0, max: 100_000 },
    group: PLAN,
    help: "GPU memory that patch and batch are chosen for. Default: the planner's. Use -overwrite_plans_name with it.",
  },
  preprocessor: {
    kind: "text",
    names: ["-preprocessor_name"],
    value: "NAME",
    default: "DefaultPreprocessor",
    group: PLAN,
    help: "Written into the plans; only DefaultPreprocessor can be used here.",
  },
  targetSpacing: {
    kind: "numbers",
    names: ["-overwrite_target_spacing"],
    value: "MM",
    range: { min: 1e-6, max: 1e6 },
    count: 3,
    group: PLAN,
    help: "Target spacing of 3d_fullres (and its cascade): three numbers, in the order of the axes as read (z y x).",
  },
  plansName: {
    kind: "text",
    names: ["-overwrite_plans_name"],
    value: "NAME",
    form: NAME,
    group: PLAN,
    help: "Name of the plans file instead of the planner's.",
  },
  explain: {
    kind: "switch",
    names: ["--explain"],
    beyond: true,
    group: OUTPUT,
    help: "Say in words and numbers why each normaliser, spacing, patch, network and batch was chosen.",
  },
} as const satisfies FlagTable;

export const PLAN_EXPERIMENT = { ...DATASETS, ...PLANNING, log: LOG } as const satisfies FlagTable;

export type FingerprintValues = Values<typeof FINGERPRINT>;
export type PlanningValues = Values<typeof PLANNING>;
