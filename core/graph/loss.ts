/**
 * The terms of a loss as data. What they are computed from is in core/engine/training.ts, how in kernels/operators/training/loss.ts.
 * Source: nnunetv2 2.5.1, training/loss/{compound_losses,dice,robust_ce_loss}.py.
 */

/** What is added up, and how much of it. */
export interface LossTerms {
  /** Added to numerator and denominator of the Dice: 1e-5, or 0 with nnUNetTrainerDiceCELoss_noSmooth. */
  readonly smooth: number;
  readonly diceWeight: number;
  /** Of the (binary) cross-entropy. */
  readonly crossEntropyWeight: number;
  /** With labels: the cross-entropy is the mean of a batch's largest (upstream's TopKLoss) instead of that of all voxels that count. */
  readonly topK?: TopKOptions;
}

export interface TopKOptions {
  /** How many: percentage of all voxels, ignored ones included, whose cross-entropy is 0. */
  readonly percent: number;
  /** Share of the target that is spread evenly over all classes, as in torch's CrossEntropyLoss. */
  readonly labelSmoothing: number;
}

/** nnUNetTrainer's. */
export const DICE_AND_CROSS_ENTROPY: LossTerms = { smooth: 1e-5, diceWeight: 1, crossEntropyWeight: 1 };
