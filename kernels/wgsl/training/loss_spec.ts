/** What the kernels of one output's loss are made for. */
import type { Vec3 } from "../../../core/base/shape.ts";
import type { ConvLimits } from "../conv/problem.ts";
import type { TopKLoss } from "../../wasm/training/top_k.ts";
import type { TensorRange } from "./tensors.ts";

/** An output's logits, alone in their tensor. */
export interface LossShape {
  readonly batch: number;
  readonly grid: Vec3;
  readonly logits: TensorRange;
  /** i32 [batch][voxel]. */
  readonly targetSlot: string;
  /** f32 [batch][voxel][2]: the logarithm of the sum of exponentials, and the channel of the largest logit; 0 with regions. */
  readonly softmaxSlot: string;
  readonly membershipSlot: string;
  readonly regions: boolean;
  /** Labels: the largest cross-entropies alone count. */
  readonly topK?: TopKLoss;
  readonly limits: ConvLimits;
}

export interface LossSums extends LossShape {
  /** True if voxels can be ignored. */
  readonly ignores: boolean;
  readonly batchDice: boolean;
  readonly smooth: number;
  readonly diceWeight: number;
  readonly crossEntropyWeight: number;
  /** Of this output among all. */
  readonly outputWeight: number;
  /** f32: the output's loss times its weight. */
  readonly resultSlot: string;
  readonly resultIndex: number;
  /** f32, element 0: the loss scale. */
  readonly optionsSlot: string;
  /** f32 [batch][2][padded], then one vector: see {@link planLossGradient}. */
  readonly coefficientsSlot: string;
}

/** Sums per channel: intersections, predictions, truths, cross-entropy, voxels that count (the same in all channels). */
export const LOSS_QUANTITIES = 5;
