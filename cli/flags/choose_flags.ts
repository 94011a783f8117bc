/**
 * The flags of find_best_configuration and accumulate_crossval_results, as upstream has them
 * (nnunetv2/evaluation/find_best_configuration.py), then ours.
 */
import type { FlagTable } from "./flag.ts";
import { CASE_THREADS, DATASET, LOG, MAX_MEMORY, NAME } from "./forms.ts";

const MODELS = "Models";
const HOW = "Comparison";
const OUTPUT = "Output";

const COMMON = {
  dataset: {
    kind: "text",
    names: ["dataset_name_or_id"],
    value: "DATASET",
    form: DATASET,
    required: true,
    group: MODELS,
    help: "Name or number of the dataset.",
  },
  folds: {
    kind: "integers",
    names: ["-f"],
    value: "FOLD",
    range: { min: 0, max: 999_999 },
    default: [0, 1, 2, 3, 4],
    group: MODELS,
    help: "Folds of the cross-validation.",
  },
  log: LOG,
  maxMemory: {
    ...MAX_MEMORY,
    help:
      "Memory that the run may take, as 4G or 512M. Default: half of what is free for cases that are done at the same time.",
  },
} as const satisfies FlagTable;

const THREADS_FLAG = {
  ...CASE_THREADS,
  help: "Threads, each with a case. Default: the variable nnUNet_def_n_proc, or all cores.",
} as const;

export const FIND_BEST = {
  ...COMMON,
  plans: {
    kind: "list",
    names: ["-p"],
    value: "PLANS",
    form: NAME,
    default: ["nnUNetPlans"],
    group: MODELS,
    help: "Plans whose models are compared.",
  },
  configurations: {
    kind: "list",
    names: ["-c"],
    value: "CONFIG",
    form: NAME,
    default: ["2d", "3d_fullres", "3d_lowres", "3d_cascade_fullres"],
    group: MODELS,
    help: "Configurations that are compared; those that the plans don't have are left out.",
  },
  trainers: {
    kind: "list",
    names: ["-tr"],
    value: "TRAINER",
    form: NAME,
    default: ["nnUNetTrainer"],
    group: MODELS,
    help: "Trainers whose models are compared.",
  },
  threads: THREADS_FLAG,
  disableEnsembling: {
    kind: "switch",
    names: ["--disable_ensembling"],
    group: HOW,
    help: "Compare single models only. Ensembles need folds that were trained or validated with --npz.",
  },
  noOverwrite: {
    kind: "switch",
    names: ["--no_overwrite"],
    group: HOW,
    help:
      "Go on after a stop: segmentations that an earlier run has collected or averaged are left as they are, also if the folds " +
      "have changed since.",
  },
  instructions: {
    kind: "choice",
    names: ["--instructions"],
    value: "COMMANDS",
    choices: ["nnunet", "python"],
    beyond: true,
    group: OUTPUT,
    help:
      "Whose commands are printed and written to inference_instructions.txt. Default: nnunet; python if the command was called " +
      "by Python's name, nnUNetv2_find_best_configuration.",
  },
} as const satisfies FlagTable;

export const ACCUMULATE = {
  ...COMMON,
  configuration: {
    kind: "text",
    names: ["-c"],
    value: "CONFIG",
    form: NAME,
    required: true,
    group: MODELS,
    help: "Configuration of the model.",
  },
  output: {
    kind: "text",
    names: ["-o"],
    value: "FOLDER",
    group: OUTPUT,
    help: "An empty or new folder. Default: crossval_results_folds_FOLDS in the model's folder, which is made anew.",
  },
  plans: {
    kind: "text",
    names: ["-p"],
    value: "PLANS",
    form: NAME,
    default: "nnUNetPlans",
    group: MODELS,
    help: "Plans of the model.",
  },
  trainer: {
    kind: "text",
    names: ["-tr"],
    value: "TRAINER",
    form: NAME,
    default: "nnUNetTrainer",
    group: MODELS,
    help: "Trainer of the model.",
  },
  threads: { ...THREADS_FLAG, beyond: true },
} as const satisfies FlagTable;
