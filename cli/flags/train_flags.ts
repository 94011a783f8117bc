/**
 * The flags of `train`: upstream's with upstream's defaults (nnunetv2/run/run_training.py), then those that Python's nnU-Net does not
 * have.
 */
import { ENGINE, MACHINE } from "./engine_flags.ts";
import type { FlagTable, Values } from "./flag.ts";
import { DATASET, FOLD, FOLD_OR_ARRAY, LOG, MAX_MEMORY, NAME, STARTED_THREADS, SUFFIX, THREADS } from "./forms.ts";

const WHAT = "What to train";
const HOW = "Training";
const START = "Start";
const VALIDATION = "Validation";
const OUTPUT = "Output";

const COUNT = { min: 1, max: 1_000_000 } as const;

export const TRAIN = {
  dataset: {
    kind: "text",
    names: ["dataset_name_or_id"],
    value: "DATASET",
    form: DATASET,
    required: true,
    group: WHAT,
    help: "Name or number of the dataset.",
  },
  configuration: {
    kind: "text",
    names: ["configuration"],
    value: "CONFIG",
    form: NAME,
    required: true,
    group: WHAT,
    help: "Configuration of the plans: 2d, 3d_fullres, 3d_lowres, 3d_cascade_fullres, ...",
  },
  fold: {
    kind: "text",
    names: ["fold"],
    value: "FOLD",
    form: FOLD_OR_ARRAY,
    requiredUnless: "--folds",
    group: WHAT,
    help:
      "Fold of the cross-validation, 0 to 4, or `all` to train on all cases; `array`: the index of the SLURM array or " +
      "Kubernetes indexed job that this is run in.",
  },
  folds: {
    kind: "list",
    names: ["--folds"],
    value: "FOLD",
    form: FOLD,
    beyond: true,
    group: WHAT,
    help: "Instead of FOLD: several, one after the other, or one on each GPU of --gpus.",
  },
  trainer: {
    kind: "text",
    names: ["-tr"],
    value: "TRAINER",
    form: NAME,
    default: "nnUNetTrainer",
    group: HOW,
    help:
      "Trainer: nnUNetTrainer, nnUNetTrainer_250epochs, nnUNetTrainerNoMirroring, nnUNetTrainerDA5, nnUNetTrainerBN, " +
      "nnUNetTrainerAdam, ... An unknown one is answered with the list.",
  },
  plans: {
    kind: "text",
    names: ["-p"],
    value: "PLANS",
    form: NAME,
    default: "nnUNetPlans",
    group: WHAT,
    help: "Plans: nnUNetPlans, nnUNetResEncUNetMPlans, ...",
  },
  epochs: {
    kind: "integer",
    names: ["--epochs"],
    value: "N",
    range: COUNT,
    beyond: true,
    group: HOW,
    help:
      "Epochs instead of 1000. Where upstream has a trainer of that length, it is that one; otherwise --name is needed.",
  },
  iterations: {
    kind: "integer",
    names: ["--iterations"],
    value: "N",
    range: COUNT,
    beyond: true,
    group: HOW,
    help: "Training steps of an epoch instead of 250, and a fifth as many of validation. Needs --name.",
  },
  earlyStopping: {
    kind: "integer",
    names: ["--early-stopping", "--early_stopping"],
    value: "N",
    range: COUNT,
    beyond: true,
    group: HOW,
    help: "End after N epochs without a better moving average of the pseudo Dice. Needs --name.",
  },
  learningRate: {
    kind: "number",
    names: ["--lr"],
    value: "RATE",
    range: { above: 0, max: 1e6 },
    beyond: true,
    group: HOW,
    help: "Learning rate at the start instead of 0.01. Needs --name.",
  },
  batchSize: {
    kind: "integer",
    names: ["--batch-size", "--batch_size"],
    value: "N",
    range: COUNT,
    beyond: true,
    group: HOW,
    help: "Samples of a step instead of the plans' number. Needs --name.",
  },
  randomSplit: {
    kind: "switch",
    names: ["--random-split", "--random_split"],
    beyond: true,
    group: WHAT,
    help: "Take a fold that the split does not have to be one of 80 % of the cases, drawn at random by its number.",
  },
  seed: {
    kind: "integer",
    names: ["--seed"],
    value: "N",
    range: { min: 0, max: Number.MAX_SAFE_INTEGER },
    beyond: true,
    group: HOW,
    help: "Seed of all random numbers. The same seed gives the same training. Default: drawn, and noted in the log.",
  },
  name: {
    kind: "text",
    names: ["--name"],
    value: "SUFFIX",
    form: SUFFIX,
    beyond: true,
    group: HOW,
    help: "Results go to TRAINER_SUFFIX__PLANS__CONFIG. Needed where settings are none of upstream's.",
  },
  pretrainedWeights: {
    kind: "text",
    names: ["-pretrained_weights"],
    value: "FILE",
    group: START,
    help:
      "Checkpoint whose weights, but for the segmentation heads, the training starts from. Of a network that differs (other " +
      "channels, another depth) it takes the layers that fit and lists the others.",
  },
  strict: {
    kind: "switch",
    names: ["--strict"],
    beyond: true,
    group: START,
    help: "With -pretrained_weights: refuse a checkpoint of which a layer does not fit, as Python does.",
  },
  continueTraining: {
    kind: "switch",
    names: ["--c"],
    group: START,
    help: "Continue a training that was stopped, this program's or Python's. Without a checkpoint a new one starts.",
  },
  disableCheckpointing: {
    kind: "switch",
    names: ["--disable_checkpointing"],
    group: OUTPUT,
    help: "Write no checkpoint.",
  },
  validateOnly: {
    kind: "switch",
    names: ["--val"],
    group: VALIDATION,
    help: "Only validate, with checkpoint_final.pth.",
  },
  validateBest: {
    kind: "switch",
    names: ["--val_best"],
    group: VALIDATION,
    help: "Validate with checkpoint_best.pth. The results go to the same folder.",
  },
  saveProbabilities: {
    kind: "switch",
    names: ["--npz"],
    group: VALIDATION,
    help: "Also write the validation cases' probabilities (.npz, .pkl), as choosing an ensemble needs them.",
  },
  assumePlansNetwork: {
    kind: "switch",
    names: ["--assume_plans_network"],
    beyond: true,
    group: VALIDATION,
    help: "With --val: take the network of the plans for a trainer whose name is not known.",
  },
  useCompressed: {
    kind: "switch",
    names: ["--use_compressed"],
    group: MACHINE,
    help:
      "Read Python's .npz files packed. By default they are unpacked to .npy first. Data in bricks are never packed.",
  },
  gpus: {
    kind: "integer",
    names: ["-num_gpus"],
    value: "N",
    range: THREADS,
    default: 1,
    group: MACHINE,
    help:
      "GPUs that share every batch, and the validation's cases: the first ones that `doctor` lists. Weights come out as with " +
      "one, but for rounding.",
  },
  device: ENGINE.device,
  gpuChoice: {
    ...ENGINE.gpuChoice,
    help:
      "Which GPU, as `doctor` lists them: its index, PCI address or name; with -num_gpus, --folds or --val several, with " +
      "commas between, or `all`. Default: the strongest.",
  },
  allowCpu: {
    kind: "switch",
    names: ["--allow_cpu"],
    beyond: true,
    group: MACHINE,
    help: "Use the CPU where the GPU that -device asks for cannot be used.",
  },
  allowSoftwareGpu: ENGINE.allowSoftwareGpu,
  precision: {
    kind: "choice",
    names: ["--precision"],
    value: "PRECISION",
    choices: ["f32", "f16"],
    default: "f32",
    beyond: true,
    group: MACHINE,
    help: "How a GPU keeps activations. f16 takes half the memory and rounds to 3 digits; arithmetic is f32 in both.",
  },
  threads: ENGINE.threads,
  sampleThreads: {
    kind: "integer",
    names: ["--sample-threads", "--sample_threads"],
    value: "N",
    range: { ...STARTED_THREADS, min: 0 },
    beyond: true,
    group: MACHINE,
    help:
      "Threads that load and augment samples; 0: none of their own. Default: the variable nnUNet_n_proc_DA, or by the " +
      "cores. Results do not depend on it.",
  },
  maxMemory: {
    ...MAX_MEMORY,
    help: "Most memory to use, like 12G. What takes more is refused before it starts. Default: what is free.",
  },
  log: LOG,
  quiet: {
    kind: "switch",
    names: ["--quiet"],
    beyond: true,
    group: OUTPUT,
    help: "Warnings and errors only.",
  },
  verbose: { kind: "switch", names: ["--verbose"], beyond: true, group: OUTPUT, help: "Say more." },
} as const satisfies FlagTable;

export type TrainValues = Values<typeof TRAIN>;
