/**
 * The loss of one output: Dice and cross-entropy over softmax, or Dice and binary cross-entropy over sigmoids of regions.
 * Source: nnunetv2 2.5.1, training/loss/{compound_losses,dice,robust_ce_loss}.py.
 * In turn: the target at the output's resolution, sums over voxels with the loss and its coefficients, the logits' gradient. A target value
 * says which row of a membership table (f32 [labels + 1][padded channels]: which channels a label counts for; the last row for none) is the
 * voxel's, or that it is ignored (-1).
 *
 * The gradient: with a, b of the coefficients and e their last vector, dL/dp = a * g + b for the probability p and membership g of a
 * channel, and the cross-entropy adds e * (p - g) to the logit's gradient. With TopK e is a voxel's own, and g smoothed in the latter.
 */
import { padToFour, type Vec3, voxelCount } from "../../../core/base/shape.ts";
import type { Cost } from "../operator.ts";
import { topCount, type TopKLoss, type TopKProblem } from "./top_k.ts";

/** An output, alone in its tensor. */
export interface LossShape {
  readonly batch: number;
  readonly grid: Vec3;
  /** i32 [batch][voxel]. */
  readonly targetSlot: string;
  readonly membershipSlot: string;
  readonly regions: boolean;
  /** Labels: the largest cross-entropies alone count. */
  readonly topK?: TopKLoss;
}

export interface LossWeights {
  /** True if voxels can be ignored. */
  readonly ignores: boolean;
  readonly batchDice: boolean;
  readonly smooth: number;
  readonly diceWeight: number;
  readonly crossEntropyWeight: number;
  /** Of this output among all. */
  readonly outputWeight: number;
  /** The output's loss times its weight goes to a number of it. */
  readonly resultSlot: string;
  /** f32 [batch][2][padded], then one vector: a, b and e of the gradient. */
  readonly coefficientsSlot: string;
}

export interface TargetLabels {
  /** Grid of the label map, i16 (batch, z, y, x). */
  readonly labelGrid: Vec3;
  readonly labelSlot: string;
  readonly ignoreLabel?: number;
  /** Rows of the membership table but the last. */
  readonly labels: number;
}

/** Bytes of an output's coefficients. */
export const coefficientBytes = (batch: number, channels: number) => (batch * 2 * padToFour(channels) + 4) * 4;

/** Rows of the membership table as an array: `members[label]` are the channels a label counts for. */
export function membershipTable(members: readonly (readonly number[])[], channels: number): Float32Array<ArrayBuffer> {
  const padded = padToFour(channels);
  const table = new Float32Array((members.length + 1) * padded);
  members.forEach((list, label) => {
    for (const channel of list) table[label * padded + channel] = 1;
  });
  return table;
}

/** Source index of every target index: torch's interpolate with "nearest-exact", in its f32 arithmetic. */
export function nearestExact(source: number, target: number): number[] {
  const scale = Math.fround(source / target);
  return Array.from(
    { length: target },
    (_, i) => Math.min(Math.floor(Math.fround((i + 0.5) * scale)), source - 1),
  );
}

/** "Dice and cross-entropy", ... */
export function lossName({ regions, topK }: Pick<LossShape, "regions" | "topK">): string {
  if (topK) return "Dice and largest cross-entropies";
  return regions ? "Dice and binary cross-entropy" : "Dice and cross-entropy";
}

/** Of a pass over an output's logits. */
export function lossCost({ batch, grid }: Pick<LossShape, "batch" | "grid">, channels: number): Cost {
  const elements = batch * voxelCount(grid) * padToFour(channels);
  return { flops: elements * 30, bytes: elements * 8 };
}

/** The largest cross-entropies of an output: their weighted mean is added to the Dice, whose own cross-entropy weighs nothing. */
export function topKOfLoss(
  spec: Pick<LossShape, "batch" | "grid"> & Pick<LossWeights, "outputWeight" | "crossEntropyWeight" | "resultSlot">,
  topK: TopKLoss,
): TopKProblem {
  const count = spec.batch * voxelCount(spec.grid);
  return {
    valuesSlot: topK.entropiesSlot,
    count,
    k: topCount(count, topK.percent),
    weight: spec.outputWeight * spec.crossEntropyWeight,
    resultSlot: spec.resultSlot,
  };
}
