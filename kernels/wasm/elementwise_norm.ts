/**
 * Norm tables: what consumers apply to a raw tensor as they load it. A table is f32 [batch][3][total channels]: scales, shifts,
 * slopes. Instance norm merges the statistics that a convolution's epilogue left (voxel count, means and M2s of each part).
 */
import { padToFour } from "../../core/base/shape.ts";
import { encodeFields, type FieldType } from "./elementwise_params.ts";
import type { Operator } from "./kernel.ts";

/** Where a norm table goes: a channel range of a (possibly wider) table. */
export interface NormTableRange {
  readonly batch: number;
  /** Channels of the range, not padded; the range's padding lanes are written too (scale 0, shift 0, slope 1). */
  readonly channels: number;
  /** f32 [batch][3][totalChannels]. */
  readonly normSlot: string;
  /** First channel of the range in the table; a multiple of four. */
  readonly channelOffset: number;
  /** Padded channels of the whole table. */
  readonly totalChannels: number;
  /** Slope of the leaky ReLU that follows the norm; 1 where none does. */
  readonly slope: number;
}

/** Instance norm from statistics. */
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

/** A norm known beforehand: batch norm folded into scale and shift, or none (1 and 0) with a slope. */
export interface NormConstant extends NormTableRange {
  /** f32 [channels] each; absent: 1 and 0. */
  readonly scaleSlot?: string;
  readonly shiftSlot?: string;
}

export const NORM_FINALIZE_FIELDS = {
  statistics: "address",
  norm: "address",
  weight: "address",
  bias: "address",
  hasWeight: "i32",
  hasBias: "i32",
  parts: "i32",
  channels: "i32",
  padded: "i32",
  total: "i32",
  offset: "i32",
  eps: "f32",
  slope: "f32",
} as const satisfies Record<string, FieldType>;

export const NORM_CONSTANT_FIELDS = {
  norm: "address",
  scale: "address",
  shift: "address",
  hasScale: "i32",
  hasShift: "i32",
  channels: "i32",
  padded: "i32",
  total: "i32",
  offset: "i32",
  slope: "f32",
} as const satisfies Record<string, FieldType>;

/**
 * Merges the statistics of a sample's parts in a fixed order in f64 and writes scale = weight / sqrt(variance + eps),
 * shift = bias - mean * scale with the biased variance (Ulyanov et al. 2016, torch's InstanceNorm). One item: four channels of a sample.
 */
export function planNormFinalize(spec: NormFinalize): Operator {
  checkRange(spec);
  const padded = padToFour(spec.channels);
  const elements = spec.batch * spec.parts * (1 + 2 * padded);
  return {
    algorithm: "norm table from statistics",
    calls: [{
      kernel: "norm_finalize",
      params: encodeFields("norm_finalize", NORM_FINALIZE_FIELDS, {
        statistics: { slot: spec.statisticsSlot },
        norm: { slot: spec.normSlot },
        weight: { slot: spec.weightSlot ?? spec.normSlot },
        bias: { slot: spec.biasSlot ?? spec.normSlot },
        hasWeight: spec.weightSlot === undefined ? 0 : 1,
        hasBias: spec.biasSlot === undefined ? 0 : 1,
        parts: spec.parts,
        channels: spec.channels,
        padded,
        total: spec.totalChannels,
        offset: spec.channelOffset,
        eps: spec.eps,
        slope: spec.slope,
      }),
      items: spec.batch * (padded / 4),
      scratchBytes: 0,
    }],
    temporaries: {},
    flops: elements * 3,
    bytes: elements * 4,
    coreSeconds: elements * 1e-9,
  };
}

/** Writes a table of constants. One item: one sample. */
export function planNormConstant(spec: NormConstant): Operator {
  checkRange(spec);
  const padded = padToFour(spec.channels);
  return {
    algorithm: "constant norm table",
    calls: [{
      kernel: "norm_constant",
      params: encodeFields("norm_constant", NORM_CONSTANT_FIELDS, {
        norm: { slot: spec.normSlot },
        scale: { slot: spec.scaleSlot ?? spec.normSlot },
        shift: { slot: spec.shiftSlot ?? spec.normSlot },
        hasScale: spec.scaleSlot === undefined ? 0 : 1,
        hasShift: spec.shiftSlot === undefined ? 0 : 1,
        channels: spec.channels,
        padded,
        total: spec.totalChannels,
        offset: spec.channelOffset,
        slope: spec.slope,
      }),
      items: spec.batch,
      scratchBytes: 0,
    }],
    temporaries: {},
    flops: 0,
    bytes: spec.batch * padded * 12,
    coreSeconds: spec.batch * padded * 1e-9,
  };
}

function checkRange(spec: NormTableRange): void {
  const fits = spec.channelOffset % 4 === 0 && spec.totalChannels % 4 === 0 &&
    spec.channelOffset + padToFour(spec.channels) <= spec.totalChannels;
  if (!fits) {
    throw new RangeError(
      `Describing a norm table: ${spec.channels} channels from ${spec.channelOffset} on do not fit ${spec.totalChannels}`,
    );
  }
}
