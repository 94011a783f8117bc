/**
 * Batch norm (Ioffe and Szegedy 2015) as torch's BatchNormNd. In a training step mean and variance are those of the batch, and the running
 * ones move towards them; in a validation the running ones are used. Either way they become a norm table, the same for all samples. Its
 * backward is that of instance norm (norm.ts) with the whole batch as one sample.
 */
import type { NormTableRange } from "../../../core/graph/problems.ts";

/** Share of a batch's moments in the running ones; torch's default, which no trainer changes. */
export const BATCH_NORM_MOMENTUM = 0.1;

export interface BatchMoments {
  readonly batch: number;
  /** Of a sample. */
  readonly voxels: number;
  readonly channels: number;
  /** Parts of the statistics of each sample. */
  readonly parts: number;
  /** f32 [batch][parts][1 + 2 * padded channels], as a convolution's epilogue leaves them. */
  readonly statisticsSlot: string;
  /** f32 [padded channels] each, overwritten: mean and biased variance over batch and voxels. */
  readonly meanSlot: string;
  readonly varianceSlot: string;
  /** f32 [channels] each: moved towards the batch's mean and unbiased variance; left alone where those are not finite. */
  readonly runningMeanSlot: string;
  readonly runningVarianceSlot: string;
}

/** torch's factor from the biased to the unbiased variance, which is the running one. */
export function unbiasedFactor({ batch, voxels }: Pick<BatchMoments, "batch" | "voxels">): number {
  const count = batch * voxels;
  return count / Math.max(1, count - 1);
}

/** A table of scale = weight / sqrt(variance + eps), shift = bias - mean * scale, alike for all samples. */
export interface NormFromMoments extends NormTableRange {
  /** f32 [channels] each. */
  readonly meanSlot: string;
  readonly varianceSlot: string;
  /** f32 [channels] each; absent: 1 and 0. */
  readonly weightSlot?: string;
  readonly biasSlot?: string;
  readonly eps: number;
}
