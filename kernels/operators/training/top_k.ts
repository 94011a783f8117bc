/**
 * The largest values of an array without sorting it: the cross-entropies that TopKLoss counts (nnunetv2 2.5.1,
 * training/loss/robust_ce_loss.py). Of values that are not negative the bits are in the order of the values, so four passes find the k-th
 * largest byte by byte, each with a histogram of the next byte. Values equal to it share what is left of the k among them, so that no
 * order of voxels decides.
 */
import type { Cost } from "../operator.ts";

/** What an output's loss has to say of it. */
export interface TopKLoss {
  /** f32 [batch][voxel]: cross-entropies, after the sums their factors in the gradient. */
  readonly entropiesSlot: string;
  /** Of all voxels. */
  readonly percent: number;
  readonly labelSmoothing: number;
}

export interface TopKProblem {
  /** f32, not negative, NaN being the largest; overwritten with each value's share in the loss: its gradient's factor. */
  readonly valuesSlot: string;
  readonly count: number;
  /** How many values count, as {@link topCount} has it. */
  readonly k: number;
  /** Of the mean of those values in the loss. */
  readonly weight: number;
  /** The weighted mean is added to a number of it. */
  readonly resultSlot: string;
}

/** How many of `count` voxels are a percentage of them: upstream's number, but at least one, where upstream's mean is NaN. */
export function topCount(count: number, percent: number): number {
  return Math.max(1, Math.floor(count * percent / 100));
}

/** Values of a byte, and where the bytes of a value are, the highest first. */
export const TOP_BINS = 256;
export const TOP_SHIFTS = [24, 16, 8, 0] as const;

/** Five readings and a writing of each value. */
export function topKCost(count: number): Cost {
  return { flops: count * 6, bytes: count * 24 };
}
