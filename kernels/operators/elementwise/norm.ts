/**
 * Norm tables: what consumers apply to a raw tensor as they load it. A table is f32 [batch][3][total channels]: scales, shifts,
 * slopes. Instance norm merges the statistics that a convolution's epilogue left (voxel count, means and M2s of each part).
 */
import { padToFour } from "../../../core/base/shape.ts";
import type { NormTableRange } from "../../../core/graph/problems.ts";
import type { Cost } from "../operator.ts";

/**
 * Instance norm from statistics: scale = weight / sqrt(variance + eps), shift = bias - mean * scale with the biased variance of a sample's
 * parts together (Ulyanov et al. 2016, torch's InstanceNorm).
 */
export interface NormFinalize extends NormTableRange {
  /** Parts of the statistics of each sample. */
  readonly parts: number;
  /** f32 [batch][parts][1 + 2 * padded channels]: voxel count, means, M2s (sums of squared distances from the mean). */
  readonly statisticsSlot: string;
  /** f32 [channels] each; absent: 1 and 0. */
  readonly weightSlot?: string;
  readonly biasSlot?: string;
  readonly eps: number;
}

/** A table for a training, which needs the norm without weight and bias on the way back. */
export interface TrainedNormFinalize extends NormFinalize {
  /** f32 [batch][3][padded channels], written beside the table: weight 1, bias 0 and slope 1. */
  readonly unitNormSlot: string;
}

/** A norm known beforehand: batch norm folded into scale and shift, or none (1 and 0) with a slope. */
export interface NormConstant extends NormTableRange {
  /** f32 [channels] each; absent: 1 and 0. */
  readonly scaleSlot?: string;
  readonly shiftSlot?: string;
}

/** @throws RangeError if the range does not fit its table. */
export function checkNormRange(spec: NormTableRange): void {
  const fits = spec.channelOffset % 4 === 0 && spec.totalChannels % 4 === 0 &&
    spec.channelOffset + padToFour(spec.channels) <= spec.totalChannels;
  if (!fits) {
    throw new RangeError(
      `Describing a norm table: ${spec.channels} channels from ${spec.channelOffset} on do not fit ${spec.totalChannels}`,
    );
  }
}

/** Of merging the statistics of all samples. */
export function mergeCost({ batch, parts, channels }: Pick<NormFinalize, "batch" | "parts" | "channels">): Cost {
  const elements = batch * parts * (1 + 2 * padToFour(channels));
  return { flops: elements * 3, bytes: elements * 4 };
}

/** Of writing a table whose entries are those of every sample; `read` numbers are read and `flops` done for each entry. */
export function tableCost({ batch, channels }: NormTableRange, read: number, flops: number): Cost {
  const entries = batch * padToFour(channels);
  return { flops: entries * flops, bytes: entries * (read + 3) * 4 };
}
