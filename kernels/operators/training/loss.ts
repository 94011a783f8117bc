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
import type { BatchShare } from "../../../core/graph/batch_share.ts";
import type { LossTerms } from "../../../core/graph/loss.ts";
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
  /** The samples are these of a larger batch, of which the coefficients are. */
  readonly share?: BatchShare;
}

export interface LossWeights extends Omit<LossTerms, "topK"> {
  /** True if voxels can be ignored. */
  readonly ignores: boolean;
  readonly batchDice: boolean;
  /** Samples of the whole batch, where the loss of the others, none of it of the batch, is computed elsewhere; their sum is the batch's. */
  readonly of?: number;
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

/** What the plain reference is given, in float64. */
export interface LossData extends Omit<LossWeights, "outputWeight" | "resultSlot" | "coefficientsSlot"> {
  readonly batch: number;
  readonly voxels: number;
  readonly channels: number;
  /** (batch, voxels, padded channels). */
  readonly logits: Float64Array;
  /** Of each voxel of the batch; undefined: it is ignored. */
  readonly labels: readonly (number | undefined)[];
  /** Channels that a label counts for. */
  readonly members: readonly (readonly number[])[];
  readonly regions: boolean;
  readonly topK?: Pick<TopKLoss, "percent" | "labelSmoothing">;
}

interface Voxel {
  readonly sample: number;
  readonly probabilities: readonly number[];
  /** 1 in the channels that its label counts for. */
  readonly truth: readonly number[];
  readonly entropy: number;
}

/** The plain truth for tests; its gradient is that of central differences. */
export function lossReference(data: LossData): number {
  const voxels = data.labels.flatMap((label, voxel) => label === undefined ? [] : [voxelOf(data, label, voxel)]);
  return data.diceWeight * diceOf(data, voxels) + data.crossEntropyWeight * entropyOf(data, voxels);
}

function voxelOf({ logits, channels, voxels, regions, members, topK }: LossData, label: number, voxel: number): Voxel {
  const first = voxel * padToFour(channels);
  const z = Array.from(logits.subarray(first, first + channels));
  const truth = z.map((_, c) => members[label].includes(c) ? 1 : 0);
  const sample = Math.floor(voxel / voxels);
  if (regions) {
    const entropy = z.reduce(
      (sum, x, c) => sum + Math.max(x, 0) - x * truth[c] + Math.log1p(Math.exp(-Math.abs(x))),
      0,
    );
    return { sample, probabilities: z.map((x) => 1 / (1 + Math.exp(-x))), truth, entropy };
  }
  const logSum = Math.log(z.reduce((sum, x) => sum + Math.exp(x), 0));
  const smoothing = topK?.labelSmoothing ?? 0;
  const entropy = z.reduce((sum, x, c) => sum + (truth[c] * (1 - smoothing) + smoothing / channels) * (logSum - x), 0);
  return { sample, probabilities: z.map((x) => Math.exp(x - logSum)), truth, entropy };
}

/** Minus the mean soft Dice of samples, or of the batch, and channels but a background. */
function diceOf({ batch, channels, regions, batchDice, smooth }: LossData, voxels: readonly Voxel[]): number {
  const dice: number[] = [];
  for (let group = 0; group < (batchDice ? 1 : batch); group++) {
    const counted = voxels.filter(({ sample }) => batchDice || sample === group);
    for (let c = regions ? 0 : 1; c < channels; c++) {
      const total = (of: (voxel: Voxel) => number) => counted.reduce((sum, voxel) => sum + of(voxel), 0);
      const intersection = total(({ probabilities, truth }) => probabilities[c] * truth[c]);
      const volumes = total(({ probabilities, truth }) => probabilities[c] + truth[c]);
      dice.push((2 * intersection + smooth) / Math.max(volumes + smooth, 1e-8));
    }
  }
  return -dice.reduce((a, b) => a + b, 0) / dice.length;
}

/** The mean over voxels; with regions that cannot be ignored over channels as well. */
function entropyOf({ labels, channels, regions, ignores, topK }: LossData, voxels: readonly Voxel[]): number {
  const entropies = voxels.map(({ entropy }) => entropy);
  if (topK) {
    const k = topCount(labels.length, topK.percent);
    return entropies.sort((a, b) => b - a).slice(0, k).reduce((a, b) => a + b, 0) / k;
  }
  const count = voxels.length * (regions && !ignores ? channels : 1);
  return count === 0 ? 0 : entropies.reduce((a, b) => a + b, 0) / count;
}

/** dL/dlogits, laid out as the logits. */
export function lossGradientReference(data: LossData, step = 1e-4): Float64Array {
  const padded = padToFour(data.channels);
  return data.logits.map((logit, i) => {
    if (i % padded >= data.channels) return 0;
    const lossAt = (value: number) => lossReference({ ...data, logits: data.logits.with(i, value) });
    return (lossAt(logit + step) - lossAt(logit - step)) / (2 * step);
  });
}
