/** The plain truth about an output's loss (loss.ts), in float64, for tests. Its gradient is that of central differences. */
import { padToFour } from "../../../core/base/shape.ts";
import type { LossWeights } from "./loss.ts";
import { topCount, type TopKLoss } from "./top_k.ts";

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
