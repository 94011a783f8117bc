/** How an operand's channels lie in memory, as the packed weights must follow them. */
import { paddedChannels } from "../../operators/tensor.ts";
import type { ConvProblem } from "./problem.ts";
import { ceilDiv, sum } from "../../operators/arithmetic.ts";
import { padToFour } from "../../../core/base/shape.ts";
import { at, type ParamTypes } from "../params.ts";
import { PANEL } from "./gemm_kernels.ts";

/** Where the tensors, weights and statistics of a convolution are: what its kernels begin with, direct or in the transform domain. */
export const TENSOR_PARAMS = {
  source: "address",
  /** The tensor of the channels from `firstChannels` on. */
  secondSource: "address",
  norm: "address",
  weights: "address",
  bias: "address",
  target: "address",
  statistics: "address",
} as const satisfies ParamTypes;

/** How voxels of them lie; strides are bytes. */
export const VOXEL_PARAMS = {
  hasNorm: "i32",
  hasStatistics: "i32",
  sourceVoxel: "i32",
  secondVoxel: "i32",
  targetVoxel: "i32",
  /** Padded to four. */
  inputChannels: "i32",
  /** Channels that lie in `source`, padded; all of them where there is no second tensor. */
  firstChannels: "i32",
} as const satisfies ParamTypes;

/** The values of both; `targetElement` is the first element of the output that is written. */
export function tensorParams(
  { input, output, weightSlot, statistics }: ConvProblem,
  biasAt: number,
  targetElement: number,
) {
  const { slot, channelStride, channelOffset, parts, second, normSlot } = input;
  const firstParts = second ? parts.slice(0, second.firstPart) : parts;
  return {
    source: at(slot, channelOffset * 4),
    secondSource: second ? at(second.slot, second.channelOffset * 4) : at(slot),
    norm: at(normSlot ?? weightSlot),
    weights: at(weightSlot),
    bias: at(weightSlot, biasAt),
    target: at(output.slot, (output.channelOffset + targetElement) * 4),
    statistics: at(output.statisticsSlot ?? weightSlot),
    hasNorm: normSlot === undefined ? 0 : 1,
    hasStatistics: statistics ? 1 : 0,
    sourceVoxel: channelStride * 4,
    secondVoxel: (second?.channelStride ?? 0) * 4,
    targetVoxel: output.channelStride * 4,
    inputChannels: paddedChannels(input),
    firstChannels: sum(firstParts.map(padToFour)),
  };
}

export const padToPanel = (channels: number) => Math.ceil(channels / PANEL) * PANEL;

/** Divisions of an axis worth trying: about halves. */
export function aboutHalves(size: number): number[] {
  const sizes = new Set<number>();
  for (let parts = 1; parts < size; parts = Math.max(parts + 1, Math.floor(parts * 1.5))) {
    sizes.add(ceilDiv(size, parts));
  }
  return [...sizes, 1];
}
