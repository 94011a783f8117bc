/**
 * The numbers of an epoch from those of its steps, in the precision numpy has them in: single, with regions double.
 * Sources: on_validation_epoch_end of nnunetv2/training/nnUNetTrainer/nnUNetTrainer.py, logging/nnunet_logger.py (2.5.1).
 */
import type { ValidationStepResult } from "../engine/training.ts";

export interface ValidationMetrics {
  readonly loss: number;
  readonly classDice: readonly number[];
  readonly meanDice: number;
}

/** @param hasRegions Then every output is a class; otherwise output 0 is the background, which is left out */
export function validationMetrics(steps: readonly ValidationStepResult[], hasRegions: boolean): ValidationMetrics {
  const round = precision(hasRegions);
  const sum = (of: (step: ValidationStepResult) => Float64Array, output: number) =>
    steps.reduce((total, step) => total + of(step)[output], 0);
  const outputs = steps[0].truePositives.length;
  const classDice: number[] = [];
  for (let output = hasRegions ? 0 : 1; output < outputs; output++) {
    const twice = 2 * sum(({ truePositives }) => truePositives, output);
    const wrong = sum(({ falsePositives }) => falsePositives, output) +
      sum(({ falseNegatives }) => falseNegatives, output);
    classDice.push(round(twice / (twice + wrong)));
  }
  const known = classDice.filter((dice) => !Number.isNaN(dice));
  return { loss: meanLoss(steps.map(({ loss }) => loss)), classDice, meanDice: round(mean(known)) };
}

/** The mean of an epoch's losses. */
export function meanLoss(losses: readonly number[]): number {
  return Math.fround(mean(losses));
}

/** The moving average after an epoch of pseudo Dice `dice`. */
export function nextEma(last: number | undefined, dice: number, hasRegions: boolean): number {
  const round = precision(hasRegions);
  if (last === undefined) return dice;
  return round(round(last * round(0.9)) + round(round(0.1) * dice));
}

function precision(hasRegions: boolean): (value: number) => number {
  return hasRegions ? (value) => value : Math.fround;
}

/** NaN of an empty list. */
function mean(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0) / values.length;
}
