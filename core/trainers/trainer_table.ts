/**
 * The trainers, one entry a class: what it changes of nnUNetTrainer, and why it can't be trained here where that is so. `train` reads
 * its options here, `predict` what network its models have; a new variant is a line here and a test.
 * Names: nnunetv2/training/nnUNetTrainer of 2.0 to 2.8, and those of TotalSegmentator (totalsegmentator/custom_trainers.py and the
 * tasks of its libs).
 */
import { DICE_AND_CROSS_ENTROPY, type LossTerms } from "../graph/loss.ts";
import type { AdamOptions } from "../graph/optimizer.ts";
import { type AugmentationOptions, STANDARD_AUGMENTATION, type TrainerOptions } from "./training_recipe.ts";

export interface Trainer {
  /** What differs from nnUNetTrainer. */
  readonly changes: Partial<TrainerOptions>;
  /** Why models of it are only predicted with. */
  readonly untrained?: string;
}

const NO_MIRRORING: AugmentationOptions = { ...STANDARD_AUGMENTATION, mirroring: "none" };
const MIRROR_01: AugmentationOptions = { ...STANDARD_AUGMENTATION, mirroring: "axes01" };
const NEAREST: AugmentationOptions = { ...STANDARD_AUGMENTATION, labelInterpolation: "nearest" };
const NO_AUGMENTATION: AugmentationOptions = { ...STANDARD_AUGMENTATION, recipe: "none" };
const DA5: AugmentationOptions = { ...STANDARD_AUGMENTATION, recipe: "da5" };
const DA5_NEAREST: AugmentationOptions = { ...DA5, labelInterpolation: "nearest" };
/** torch's defaults. */
const ADAM: AdamOptions = { kind: "adam", betas: [0.9, 0.999], eps: 1e-8, decoupled: false, amsgrad: false };
const ADAM_W: AdamOptions = { ...ADAM, decoupled: true, amsgrad: true };
const TOP_10: LossTerms = { ...DICE_AND_CROSS_ENTROPY, topK: { percent: 10, labelSmoothing: 0 } };
const TOP_10_SMOOTHED: LossTerms = { ...TOP_10, diceWeight: 0, topK: { percent: 10, labelSmoothing: 0.1 } };
const NOT_SMOOTH: LossTerms = { ...DICE_AND_CROSS_ENTROPY, smooth: 0 };
const CROSS_ENTROPY: LossTerms = { ...DICE_AND_CROSS_ENTROPY, diceWeight: 0 };
const DICE: LossTerms = { ...DICE_AND_CROSS_ENTROPY, crossEntropyWeight: 0 };

const trained = (changes: Partial<TrainerOptions>): Trainer => ({ changes });
const untrained = (reason: string): Trainer => ({ changes: {}, untrained: reason });
const ADAN = untrained("the optimizers here are SGD and Adam");
const BENCHMARK = untrained("it only measures times");
const TOTALSEGMENTATOR = untrained("it is TotalSegmentator's own");

/** By the class's name. */
export const TRAINERS: ReadonlyMap<string, Trainer> = new Map(Object.entries({
  nnUNetTrainer: trained({}),
  nnUNetTrainer_1epoch: trained({ epochs: 1 }),
  nnUNetTrainer_5epochs: trained({ epochs: 5 }),
  nnUNetTrainer_10epochs: trained({ epochs: 10 }),
  nnUNetTrainer_20epochs: trained({ epochs: 20 }),
  nnUNetTrainer_50epochs: trained({ epochs: 50 }),
  nnUNetTrainer_100epochs: trained({ epochs: 100 }),
  nnUNetTrainer_250epochs: trained({ epochs: 250 }),
  nnUNetTrainer_500epochs: trained({ epochs: 500 }),
  nnUNetTrainer_750epochs: trained({ epochs: 750 }),
  nnUNetTrainer_2000epochs: trained({ epochs: 2000 }),
  nnUNetTrainer_4000epochs: trained({ epochs: 4000 }),
  nnUNetTrainer_8000epochs: trained({ epochs: 8000 }),
  nnUNetTrainer_250epochs_NoMirroring: trained({ augmentation: NO_MIRRORING, epochs: 250 }),
  nnUNetTrainer_2000epochs_NoMirroring: trained({ augmentation: NO_MIRRORING, epochs: 2000 }),
  nnUNetTrainer_4000epochs_NoMirroring: trained({ augmentation: NO_MIRRORING, epochs: 4000 }),
  nnUNetTrainer_8000epochs_NoMirroring: trained({ augmentation: NO_MIRRORING, epochs: 8000 }),
  nnUNetTrainerNoMirroring: trained({ augmentation: NO_MIRRORING }),
  nnUNetTrainer_onlyMirror01: trained({ augmentation: MIRROR_01 }),
  nnUNetTrainer_DASegOrd0: trained({ augmentation: NEAREST }),
  nnUNetTrainer_DASegOrd0_NoMirroring: trained({ augmentation: { ...NEAREST, mirroring: "none" } }),
  nnUNetTrainer_onlyMirror01_DASegOrd0: trained({ augmentation: { ...NEAREST, mirroring: "axes01" } }),
  nnUNetTrainerNoDA: trained({ augmentation: NO_AUGMENTATION }),
  nnUNetTrainerDA5: trained({ augmentation: DA5 }),
  nnUNetTrainerDA5_10epochs: trained({ augmentation: DA5, epochs: 10 }),
  nnUNetTrainerDA5Segord0: trained({ augmentation: DA5_NEAREST }),
  nnUNetTrainerDA5ord0: trained({ augmentation: { ...DA5_NEAREST, imageInterpolation: "nearest" } }),
  nnUNetTrainerDiceCELoss_noSmooth: trained({ loss: NOT_SMOOTH }),
  nnUNetTrainerCELoss: trained({ loss: CROSS_ENTROPY }),
  nnUNetTrainerCELoss_5epochs: trained({ loss: CROSS_ENTROPY, epochs: 5 }),
  nnUNetTrainerDiceLoss: trained({ loss: DICE }),
  nnUNetTrainerTopk10Loss: trained({ loss: { ...TOP_10, diceWeight: 0 } }),
  nnUNetTrainerTopk10LossLS01: trained({ loss: TOP_10_SMOOTHED }),
  nnUNetTrainerDiceTopK10Loss: trained({ loss: TOP_10 }),
  nnUNetTrainerNoDeepSupervision: trained({ deepSupervision: false }),
  nnUNetTrainerBN: trained({ batchNorm: true }),
  nnUNetTrainerAdam: trained({ optimizer: ADAM_W }),
  nnUNetTrainerAdam1en3: trained({ optimizer: ADAM_W, learningRate: 1e-3 }),
  nnUNetTrainerAdam3en4: trained({ optimizer: ADAM_W, learningRate: 3e-4 }),
  nnUNetTrainerVanillaAdam: trained({ optimizer: ADAM }),
  nnUNetTrainerVanillaAdam1en3: trained({ optimizer: ADAM, learningRate: 1e-3 }),
  nnUNetTrainerVanillaAdam3en4: trained({ optimizer: ADAM, learningRate: 3e-4 }),
  nnUNetTrainerCosAnneal: trained({ schedule: "cosine" }),
  // Of 2.5.1: the method that would switch random oversampling on is never called; only the share differs.
  nnUNetTrainer_probabilisticOversampling: trained({}),
  nnUNetTrainer_probabilisticOversampling_033: trained({}),
  nnUNetTrainer_probabilisticOversampling_010: trained({ foregroundShare: 0.1 }),
  nnUNetTrainerAdan: ADAN,
  nnUNetTrainerAdan1en3: ADAN,
  nnUNetTrainerAdan3en4: ADAN,
  nnUNetTrainerAdan1en1: ADAN,
  nnUNetTrainerAdanCosAnneal: ADAN,
  nnUNetTrainerBenchmark_5epochs: BENCHMARK,
  nnUNetTrainerBenchmark_5epochs_noDataLoading: BENCHMARK,
  // Of later nnU-Nets (2.8.1), on the augmentation of 2.5.1.
  nnUNetTrainer_onlyMirror01_1500ep: trained({ augmentation: MIRROR_01, epochs: 1500 }),
  nnUNetTrainer_onlyMirror01_DA5: trained({ augmentation: { ...DA5, mirroring: "axes01" } }),
  nnUNetTrainer_noDummy2DDA: trained({ augmentation: { ...STANDARD_AUGMENTATION, volumetric: true } }),
  nnUNetTrainer_warmup: trained({ schedule: "warmup" }),
  nnUNetTrainer_MOSAIC_1k_QuarterLR_NoMirroring: TOTALSEGMENTATOR,
  nnUNetTrainerDiceTopK10Loss_2000epochs: TOTALSEGMENTATOR,
  nnUNetTrainerSkeletonRecall: TOTALSEGMENTATOR,
}));
