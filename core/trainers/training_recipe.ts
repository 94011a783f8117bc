/**
 * How a model is trained, as data. Names and numbers are those of nnunetv2/training/nnUNetTrainer (2.5.1, and 2.8.1's where 2.5.1 has
 * no such trainer), where each trainer is a class; here a trainer is what it changes of {@link STANDARD_RECIPE}.
 */
import { DICE_AND_CROSS_ENTROPY, type LossTerms } from "../graph/loss.ts";
import type { OptimizerOptions } from "../graph/optimizer.ts";

/** What a trainer says of augmentation. */
export interface AugmentationOptions {
  /** "none": nnUNetTrainerNoDA, which loads the final patch and does to it what validation does. "da5": nnUNetTrainerDA5. */
  readonly recipe: "standard" | "none" | "da5";
  /** "axes01": nnUNetTrainer_onlyMirror01, axes 0 and 1 of a 3-D patch, axis 0 of a 2-D one. Recipe "none" never mirrors. */
  readonly mirroring: "all" | "none" | "axes01";
  /** "nearest": the trainers named DASegOrd0. */
  readonly labelInterpolation: "linear" | "nearest";
  /** nnUNetTrainer_noDummy2DDA: patches of thick slices are turned and scaled in all axes, not slice by slice. */
  readonly volumetric?: true;
  /** Of rotation and scaling, where it is not the recipe's own: nnUNetTrainerDA5ord0. */
  readonly imageInterpolation?: "nearest";
}

/** What a trainer decides. */
export interface TrainerOptions {
  readonly epochs: number;
  /** Training steps of an epoch. */
  readonly iterations: number;
  readonly validationIterations: number;
  readonly learningRate: number;
  /** poly: lr (1 - e / epochs)^0.9; cosine: lr (1 + cos(pi e / epochs)) / 2; warmup: 50 epochs up to lr, then poly over the others. */
  readonly schedule: "poly" | "cosine" | "warmup";
  /** In place of SGD. */
  readonly optimizer?: OptimizerOptions;
  readonly loss: LossTerms;
  readonly deepSupervision: boolean;
  /** Batch norm in place of the plans' norm: the network is another one, in training and in prediction. */
  readonly batchNorm?: true;
  /** Its mirroring is also that of prediction, which reads it from the checkpoint. */
  readonly augmentation: AugmentationOptions;
  /** Share of a batch whose patches hold foreground. */
  readonly foregroundShare: number;
}

/** A trainer's options with the user's changes, and where its results go. */
export interface TrainingRecipe extends TrainerOptions {
  /** Upstream's class, as checkpoints name it: upstream finds a model's network by it. */
  readonly trainerName: string;
  /** First part of the results folder's name: the trainer's, with `--name` behind it. */
  readonly folderName: string;
  /** Instead of the plans' batch. */
  readonly batchSize?: number;
  /** Ends the training after so many epochs without a better moving average of the pseudo Dice. */
  readonly earlyStopping?: number;
}

/** SGD's numbers, which no trainer changes; Adam has its weight decay and clipping. */
export const SGD = { momentum: 0.99, weightDecay: 3e-5, nesterov: true, clipNorm: 12 } as const;

/** Share of a batch whose patches hold foreground. */
export const FOREGROUND_SHARE = 0.33;

/** nnUNetTrainer's. */
export const STANDARD_AUGMENTATION: AugmentationOptions = {
  recipe: "standard",
  mirroring: "all",
  labelInterpolation: "linear",
};

/** nnUNetTrainer's. */
export const STANDARD_RECIPE: TrainerOptions = {
  epochs: 1000,
  iterations: 250,
  validationIterations: 50,
  learningRate: 0.01,
  schedule: "poly",
  loss: DICE_AND_CROSS_ENTROPY,
  deepSupervision: true,
  augmentation: STANDARD_AUGMENTATION,
  foregroundShare: FOREGROUND_SHARE,
};
