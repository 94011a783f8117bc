/** The flags of `run`: those of the commands it does the work of, where they mean the same, and what concerns the whole. */
import { UsageError } from "../../core/base/errors.ts";
import type { FlagTable, Values } from "./flag.ts";
import { CASE_THREADS, FOLD, LOG, NAME } from "./forms.ts";
import { FINGERPRINT, PLANNING } from "./planning_flags.ts";
import { PREPROCESSING } from "./preprocess_flags.ts";
import { TRAIN } from "./train_flags.ts";

const WHAT = "What to do";
const OUTPUT = "Output";

export const RUN = {
  dataset: { ...TRAIN.dataset, group: WHAT },
  configurations: {
    kind: "list",
    names: ["-c"],
    value: "CONFIG",
    form: NAME,
    group: WHAT,
    help:
      "Configurations to train. Default: 2d, 3d_fullres, 3d_lowres and 3d_cascade_fullres, those of them that the plans " +
      "have. The earlier stage of a cascade comes with it.",
  },
  folds: {
    kind: "list",
    names: ["-f"],
    value: "FOLD",
    form: FOLD,
    group: WHAT,
    help: "Folds to train, or `all` for one training on all cases. Default: those of the cross-validation, 0 to 4. A " +
      "cascade takes all folds of its earlier stage.",
  },
  planner: {
    kind: "text",
    names: ["-pl"],
    value: "NAME",
    group: WHAT,
    help: "Planner. Default: the one that makes plans of the name -p, else ExperimentPlanner.",
  },
  plans: {
    kind: "text",
    names: ["-p"],
    value: "PLANS",
    form: NAME,
    group: WHAT,
    help:
      "Plans. Default: the planner's (nnUNetPlans, ...). Plans under a name of their own have to be there, if no -pl " +
      "says how to make them.",
  },
  memoryTarget: {
    ...PLANNING.memoryTarget,
    group: WHAT,
    help:
      "GPU memory that patch and batch are planned for. Default: the planner's. Use a name of its own (-p) with it.",
  },
  targetSpacing: {
    ...PLANNING.targetSpacing,
    group: WHAT,
    help: `${PLANNING.targetSpacing.help} Use a name of its own (-p) with it.`,
  },
  trainer: { ...TRAIN.trainer, group: WHAT },
  stale: {
    kind: "choice",
    names: ["--stale"],
    value: "WHAT",
    choices: ["refuse", "redo", "keep"],
    default: "refuse",
    beyond: true,
    group: WHAT,
    help:
      "What is there of an earlier state of dataset, plans or settings: refuse to go on, make it anew (trained folds are " +
      "moved to old_fold_N), or keep it.",
  },
  dryRun: {
    kind: "switch",
    names: ["--dry-run", "--dry_run"],
    beyond: true,
    group: WHAT,
    help: "Only say what is done, what is left and how long it will take.",
  },
  noWait: {
    kind: "switch",
    names: ["--no-wait", "--no_wait"],
    beyond: true,
    group: WHAT,
    help: "End, with 0, where all that is left is being done by other runs or needs what they do, in place of waiting.",
  },
  epochs: TRAIN.epochs,
  iterations: TRAIN.iterations,
  earlyStopping: TRAIN.earlyStopping,
  learningRate: TRAIN.learningRate,
  batchSize: TRAIN.batchSize,
  seed: TRAIN.seed,
  name: TRAIN.name,
  pretrainedWeights: {
    ...TRAIN.pretrainedWeights,
    help:
      "Checkpoint that the folds of the configuration start from, as with train; those that are begun stay as they are. Needs " +
      "-c with one configuration; the earlier stage of a cascade starts without it.",
  },
  strict: TRAIN.strict,
  randomSplit: { ...TRAIN.randomSplit, group: WHAT },
  noVerify: FINGERPRINT.noVerify,
  allowGeometryMismatch: FINGERPRINT.allowGeometryMismatch,
  nan: { ...PREPROCESSING.nan, group: FINGERPRINT.allowGeometryMismatch.group },
  disableEnsembling: {
    kind: "switch",
    names: ["--disable_ensembling"],
    group: WHAT,
    help: "Choose among the configurations themselves, and write no probabilities, which ensembles are made of.",
  },
  device: TRAIN.device,
  gpuChoice: {
    ...TRAIN.gpuChoice,
    help:
      "Which GPUs, as `doctor` lists them: indices, PCI addresses or names, with commas between, or `all`. Each of " +
      "several trains a fold. Default: the strongest.",
  },
  allowCpu: TRAIN.allowCpu,
  allowSoftwareGpu: TRAIN.allowSoftwareGpu,
  precision: TRAIN.precision,
  threads: TRAIN.threads,
  sampleThreads: TRAIN.sampleThreads,
  processes: {
    ...CASE_THREADS,
    help: "Threads that read and preprocess cases. Default: the variable nnUNet_def_n_proc, or all cores.",
  },
  maxMemory: {
    ...TRAIN.maxMemory,
    help: "Most memory that any stage may use, like 12G. Default: what is free.",
  },
  log: LOG,
  verbose: {
    kind: "switch",
    names: ["--verbose"],
    beyond: true,
    group: OUTPUT,
    help: "A line for each epoch, and all that the stages say.",
  },
} as const satisfies FlagTable;

export type RunValues = Values<typeof RUN>;

/** @throws UsageError for flags of planning where nothing is planned, and for weights whose configuration is open */
export function checkStarts(
  { planner, plans, memoryTarget, targetSpacing, pretrainedWeights, strict, configurations }: RunValues,
  plannedNames: readonly string[],
): void {
  const isPlanned = planner !== undefined || plans === undefined || plannedNames.includes(plans);
  if (!isPlanned && (memoryTarget !== undefined || targetSpacing !== undefined)) {
    const flag = memoryTarget !== undefined ? "-gpu_memory_target" : "-overwrite_target_spacing";
    throw new UsageError(
      `argument ${flag}: plans of the name ${plans} are taken as they are; say with -pl which planner is to make them`,
    );
  }
  if (strict && pretrainedWeights === undefined) {
    throw new UsageError("--strict says how -pretrained_weights is taken; give that too, or leave --strict out");
  }
  if (pretrainedWeights !== undefined && configurations?.length !== 1) {
    throw new UsageError("argument -pretrained_weights: weights are of one configuration's network; name it with -c");
  }
}

/** @throws UsageError for `all` beside numbers */
export function checkFolds(folds: readonly string[] = []): void {
  if (!folds.includes("all") || folds.length === 1) return;
  throw new UsageError("argument -f: `all` is a training on all cases, and goes with no other fold");
}
