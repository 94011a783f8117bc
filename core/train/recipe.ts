/**
 * How a model is trained, as data: what a trainer's name says, and what the user changes of it. Names and numbers are those of
 * nnunetv2/training/nnUNetTrainer (2.5.1), where each is a class.
 */
import { UserError } from "../base/errors.ts";
import { nearestName } from "../base/nearest.ts";
import { type AugmentationOptions, STANDARD_AUGMENTATION } from "./augment/spec.ts";
import type { AdamOptions, TopKOptions } from "../engine/training.ts";
import { FOREGROUND_SHARE } from "./augment/sample_choice.ts";

export interface TrainingRecipe {
  /** Upstream's class, as checkpoints name it: upstream finds a model's network by it. */
  readonly trainerName: string;
  /** First part of the results folder's name: the trainer's, with `--name` behind it. */
  readonly folderName: string;
  readonly epochs: number;
  /** Training steps of an epoch. */
  readonly iterations: number;
  readonly validationIterations: number;
  readonly learningRate: number;
  /** poly: lr (1 - e / epochs)^0.9; cosine: lr (1 + cos(pi e / epochs)) / 2. */
  readonly schedule: "poly" | "cosine";
  /** In place of SGD. */
  readonly adam?: AdamOptions;
  readonly diceWeight: number;
  readonly crossEntropyWeight: number;
  /** The cross-entropy is that of the worst voxels. */
  readonly topK?: TopKOptions;
  /** Of the Dice. */
  readonly smooth: number;
  readonly deepSupervision: boolean;
  /** Batch norm in place of the plans' norm. */
  readonly batchNorm?: true;
  readonly augmentation: AugmentationOptions;
  /** Share of a batch whose patches hold foreground. */
  readonly foregroundShare: number;
  /** Instead of the plans' batch. */
  readonly batchSize?: number;
  /** Ends the training after so many epochs without a better moving average of the pseudo Dice. */
  readonly earlyStopping?: number;
}

/** What the user may change of a trainer. */
export interface RecipeChanges {
  readonly epochs?: number;
  readonly iterations?: number;
  readonly earlyStopping?: number;
  readonly learningRate?: number;
  readonly batchSize?: number;
  /** Suffix of the results folder. */
  readonly name?: string;
}

/** SGD's numbers, which no trainer changes; Adam has its weight decay and clipping. */
export const SGD = { momentum: 0.99, weightDecay: 3e-5, nesterov: true, clipNorm: 12 } as const;

const STANDARD: TrainingRecipe = {
  trainerName: "nnUNetTrainer",
  folderName: "nnUNetTrainer",
  epochs: 1000,
  iterations: 250,
  validationIterations: 50,
  learningRate: 0.01,
  schedule: "poly",
  diceWeight: 1,
  crossEntropyWeight: 1,
  smooth: 1e-5,
  deepSupervision: true,
  augmentation: STANDARD_AUGMENTATION,
  foregroundShare: FOREGROUND_SHARE,
};

const NO_MIRRORING: Partial<TrainingRecipe> = { augmentation: { ...STANDARD_AUGMENTATION, mirroring: "none" } };
const MIRROR_01: Partial<TrainingRecipe> = { augmentation: { ...STANDARD_AUGMENTATION, mirroring: "axes01" } };
const NEAREST: AugmentationOptions = { ...STANDARD_AUGMENTATION, labelInterpolation: "nearest" };
const DA5: AugmentationOptions = { ...STANDARD_AUGMENTATION, recipe: "da5" };
/** torch's defaults. */
const ADAM: AdamOptions = { betas: [0.9, 0.999], eps: 1e-8, decoupled: false, amsgrad: false };
const ADAM_W: AdamOptions = { ...ADAM, decoupled: true, amsgrad: true };
const TOP_10: TopKOptions = { percent: 10, labelSmoothing: 0 };

const LENGTHS = [1, 5, 10, 20, 50, 100, 250, 500, 750, 2000, 4000, 8000];
const LENGTHS_WITHOUT_MIRRORING = [250, 2000, 4000, 8000];

/** Upstream's classes and what each of them changes. */
const TRAINERS: ReadonlyMap<string, Partial<TrainingRecipe>> = new Map<string, Partial<TrainingRecipe>>([
  ["nnUNetTrainer", {}],
  ...LENGTHS.map((epochs) => [`nnUNetTrainer_${epochs}epoch${epochs === 1 ? "" : "s"}`, { epochs }] as const),
  ...LENGTHS_WITHOUT_MIRRORING.map((epochs) =>
    [`nnUNetTrainer_${epochs}epochs_NoMirroring`, { ...NO_MIRRORING, epochs }] as const
  ),
  ["nnUNetTrainerNoMirroring", NO_MIRRORING],
  ["nnUNetTrainer_onlyMirror01", MIRROR_01],
  ["nnUNetTrainer_DASegOrd0", { augmentation: NEAREST }],
  ["nnUNetTrainer_DASegOrd0_NoMirroring", { augmentation: { ...NEAREST, mirroring: "none" } }],
  ["nnUNetTrainer_onlyMirror01_DASegOrd0", { augmentation: { ...NEAREST, mirroring: "axes01" } }],
  ["nnUNetTrainerNoDA", { augmentation: { ...STANDARD_AUGMENTATION, recipe: "none" } }],
  ["nnUNetTrainerDA5", { augmentation: DA5 }],
  ["nnUNetTrainerDA5_10epochs", { augmentation: DA5, epochs: 10 }],
  ["nnUNetTrainerDA5Segord0", { augmentation: { ...DA5, labelInterpolation: "nearest" } }],
  ["nnUNetTrainerDA5ord0", {
    augmentation: { ...DA5, labelInterpolation: "nearest", imageInterpolation: "nearest" },
  }],
  ["nnUNetTrainerDiceCELoss_noSmooth", { smooth: 0 }],
  ["nnUNetTrainerCELoss", { diceWeight: 0 }],
  ["nnUNetTrainerCELoss_5epochs", { diceWeight: 0, epochs: 5 }],
  ["nnUNetTrainerDiceLoss", { crossEntropyWeight: 0 }],
  ["nnUNetTrainerTopk10Loss", { diceWeight: 0, topK: TOP_10 }],
  ["nnUNetTrainerTopk10LossLS01", { diceWeight: 0, topK: { ...TOP_10, labelSmoothing: 0.1 } }],
  ["nnUNetTrainerDiceTopK10Loss", { topK: TOP_10 }],
  ["nnUNetTrainerNoDeepSupervision", { deepSupervision: false }],
  ["nnUNetTrainerBN", { batchNorm: true }],
  ["nnUNetTrainerAdam", { adam: ADAM_W }],
  ["nnUNetTrainerAdam1en3", { adam: ADAM_W, learningRate: 1e-3 }],
  ["nnUNetTrainerAdam3en4", { adam: ADAM_W, learningRate: 3e-4 }],
  ["nnUNetTrainerVanillaAdam", { adam: ADAM }],
  ["nnUNetTrainerVanillaAdam1en3", { adam: ADAM, learningRate: 1e-3 }],
  ["nnUNetTrainerVanillaAdam3en4", { adam: ADAM, learningRate: 3e-4 }],
  ["nnUNetTrainerCosAnneal", { schedule: "cosine" }],
  // Of 2.5.1: the method that would switch random oversampling on is never called; only the share differs.
  ["nnUNetTrainer_probabilisticOversampling", {}],
  ["nnUNetTrainer_probabilisticOversampling_033", {}],
  ["nnUNetTrainer_probabilisticOversampling_010", { foregroundShare: 0.1 }],
]);

/** Upstream's classes that are not to be had here, and why. */
const REFUSED: readonly (readonly [RegExp, string])[] = [
  [/Adan/, "the optimizers here are SGD and Adam"],
  [/^nnUNetTrainerBenchmark/, "it only measures times"],
];

const DOING = "reading the trainer's name";

/**
 * The recipe of a trainer with the user's changes.
 * @throws UserError if the trainer is unknown or not implemented, or a change needs a folder of its own and `name` is missing
 */
export function readRecipe(trainerName: string, changes: RecipeChanges = {}): TrainingRecipe {
  const base = trainerRecipe(trainerName);
  const { epochs = base.epochs, iterations = base.iterations, learningRate = base.learningRate } = changes;
  checkChanges(changes);
  // Where upstream has a class for this number of epochs, it is that class; with a name of its own the folder is that trainer's.
  const named = epochs === base.epochs || changes.name !== undefined ? base : withEpochs(base, epochs) ?? base;
  const changed: TrainingRecipe = {
    ...named,
    epochs,
    iterations,
    ...(iterations !== named.iterations && { validationIterations: Math.max(1, Math.round(iterations / 5)) }),
    learningRate,
    ...(changes.batchSize !== undefined && { batchSize: changes.batchSize }),
    ...(changes.earlyStopping !== undefined && { earlyStopping: changes.earlyStopping }),
  };
  const different = changesOf(named, changed);
  if (changes.name === undefined && different.length > 0) {
    throw new UserError({
      doing: "choosing the results folder",
      problem: `${different.join(" and ")} make${
        different.length === 1 ? "s" : ""
      } another trainer of ${named.trainerName}, and nnU-Net has no name for it`,
      remedy: "add --name SUFFIX: the model gets a folder of its own, " +
        `${named.trainerName}_SUFFIX__PLANS__CONFIGURATION`,
    });
  }
  const folderName = changes.name === undefined ? named.trainerName : `${named.trainerName}_${changes.name}`;
  return { ...changed, folderName };
}

/** For a validation alone, which takes no more of it than the folder: any trainer. */
export function validationRecipe(trainerName: string, name: string | undefined): TrainingRecipe {
  const folderName = name === undefined ? trainerName : `${trainerName}_${name}`;
  return { ...STANDARD, ...TRAINERS.get(trainerName), trainerName, folderName };
}

function trainerRecipe(name: string): TrainingRecipe {
  const found = TRAINERS.get(name);
  if (found) return { ...STANDARD, ...found, trainerName: name, folderName: name };
  const why = REFUSED.find(([pattern]) => pattern.test(name))?.[1];
  const nearest = nearestName(name, TRAINERS.keys());
  const epochs = /^nnUNetTrainer_([0-9]+)epochs$/.exec(name)?.[1];
  throw new UserError({
    doing: DOING,
    problem: why
      ? `${name} cannot be trained: ${why}`
      : `there is no trainer ${name}${nearest ? ` (the nearest is ${nearest})` : ""}`,
    remedy: epochs === undefined
      ? `trainers that can be used: ${[...TRAINERS.keys()].join(", ")}`
      : `for another number of epochs say --epochs ${epochs} --name ${epochs}epochs`,
  });
}

/** The trainer that differs from `base` in nothing but its epochs. */
function withEpochs(base: TrainingRecipe, epochs: number): TrainingRecipe | undefined {
  for (const name of TRAINERS.keys()) {
    const { trainerName: _name, folderName: _folder, ...other } = trainerRecipe(name);
    const { trainerName: _baseName, folderName: _baseFolder, ...own } = base;
    // Classes of the same numbers as others are not what is meant.
    if (/probabilistic/.test(name)) continue;
    if (JSON.stringify(other) === JSON.stringify({ ...own, epochs })) return trainerRecipe(name);
  }
  return undefined;
}

function changesOf(base: TrainingRecipe, changed: TrainingRecipe): string[] {
  const { epochs, iterations, learningRate, batchSize, earlyStopping } = changed;
  return [
    epochs !== base.epochs && `--epochs ${epochs}`,
    iterations !== base.iterations && `--iterations ${iterations}`,
    learningRate !== base.learningRate && `--lr ${learningRate}`,
    batchSize !== undefined && `--batch-size ${batchSize}`,
    earlyStopping !== undefined && `--early-stopping ${earlyStopping}`,
  ].filter((text) => text !== false);
}

function checkChanges({ epochs, iterations, earlyStopping, learningRate, batchSize, name }: RecipeChanges): void {
  const doing = "reading the command line";
  const counts = { "--epochs": epochs, "--iterations": iterations, "--early-stopping": earlyStopping };
  for (const [flag, count] of Object.entries({ ...counts, "--batch-size": batchSize })) {
    if (count !== undefined && !(Number.isSafeInteger(count) && count >= 1)) {
      throw new UserError({ doing, problem: `${flag} is ${count}; a whole number from 1 on is needed` });
    }
  }
  if (learningRate !== undefined && !(learningRate > 0 && learningRate < Infinity)) {
    throw new UserError({ doing, problem: `--lr is ${learningRate}; a number above 0 is needed`, remedy: "try 0.01" });
  }
  if (name !== undefined && (!/^[A-Za-z0-9_.-]+$/.test(name) || name.includes("__"))) {
    throw new UserError({
      doing,
      problem: `--name ${name}: it becomes part of a folder's name, in which two underscores are separators`,
      remedy: "use letters, digits, dots, dashes and single underscores",
    });
  }
}

/** The learning rate of epoch `epoch`, from 0 on. */
export function learningRateOf({ learningRate, schedule, epochs }: TrainingRecipe, epoch: number): number {
  return schedule === "poly"
    ? learningRate * (1 - epoch / epochs) ** 0.9
    : learningRate * (1 + Math.cos(Math.PI * epoch / epochs)) / 2;
}

/** Weights of the losses of the network's outputs, highest resolution first. */
export function outputWeights(outputs: number, deepSupervision: boolean): number[] {
  const weights = Array.from({ length: outputs }, (_, i) => (deepSupervision ? 1 / 2 ** i : i === 0 ? 1 : 0));
  // The coarsest output counts nothing; the only one counts (upstream divides 0 by 0 there).
  if (deepSupervision && outputs > 1) weights[outputs - 1] = 0;
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}
