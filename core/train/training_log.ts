/**
 * What is known of each finished epoch: upstream's nnUNetLogger (nnunetv2/training/logging/nnunet_logger.py), one record an epoch
 * instead of one list a number.
 */

/** A finished epoch. */
export interface EpochRecord {
  /** Mean over the steps. */
  readonly trainLoss: number;
  readonly validationLoss: number;
  /** Pseudo Dice of each foreground class or region over all validation patches; NaN where the class occurs in none of them. */
  readonly classDice: readonly number[];
  /** Mean of `classDice` without NaN; NaN if nothing else is there. */
  readonly meanDice: number;
  /** Moving average of `meanDice`: the first one, then 0.9 of the last average and 0.1 of the mean. */
  readonly emaDice: number;
  readonly learningRate: number;
  /** Seconds since 1970. */
  readonly start: number;
  readonly end: number;
}

/** Records of epochs 0, 1, 2, ... */
export type TrainingLog = readonly EpochRecord[];
