/** What the kernels of one output's loss are made for. */
import type { ConvLimits } from "../conv/problem.ts";
import type { LossShape as OutputShape, LossWeights } from "../../operators/training/loss.ts";
import type { TensorRange } from "./tensors.ts";

export interface LossShape extends OutputShape {
  readonly logits: TensorRange;
  /** f32 [batch][voxel][2]: the logarithm of the sum of exponentials, and the channel of the largest logit; 0 with regions. */
  readonly softmaxSlot: string;
  readonly limits: ConvLimits;
}

export interface LossSums extends LossShape, LossWeights {
  /** Which f32 of the result slot is its. */
  readonly resultIndex: number;
  /** f32, element 0: the loss scale. */
  readonly optionsSlot: string;
}

/** Sums per channel: intersections, predictions, truths, cross-entropy, voxels that count (the same in all channels). */
export const LOSS_QUANTITIES = 5;
