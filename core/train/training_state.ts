/** A training at one moment: all that a checkpoint holds of it beside what stands in plans and dataset.json. */
import type { OptimizerState, ParameterValues } from "../engine/training.ts";
import type { TrainingLog } from "./training_log.ts";
import type { LossScaleState } from "./loss_scale.ts";

/** Where a training stands; everything a resumed one needs to go on as if it had not been stopped. */
export interface TrainingState {
  /** Epochs that are finished: the number of the one that runs. */
  readonly epoch: number;
  readonly log: TrainingLog;
  /** The best moving average of the pseudo Dice; undefined before the first. */
  readonly bestEma?: number;
  /** Within the epoch that runs; absent at its start. */
  readonly within?: {
    /** Training steps that are done. */
    readonly iteration: number;
    /** Losses of those steps. */
    readonly losses: readonly number[];
    /** That they took. */
    readonly seconds: number;
  };
  /** In f16. */
  readonly lossScale?: LossScaleState;
  readonly seed: number;
}

/** Parameters by name, and the optimizer's state. */
export interface TrainingValues extends OptimizerState {
  readonly values: ParameterValues;
}
