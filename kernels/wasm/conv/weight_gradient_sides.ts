/** A weight gradient as pairs of channel ranges: A, which the taps shift, and B, which they do not (see weight_gradient_direct_kernel.ts). */
import { padToFour, type Vec3 } from "../../../core/base/shape.ts";
import type { Operand } from "../kernel.ts";
import { at, type SlotAddress } from "../params.ts";
import { gradientOutputGrid } from "../../operators/conv/gradient_problem.ts";
import type { WeightGradientProblem } from "./problem.ts";
import { ceilDiv, sum } from "../../operators/arithmetic.ts";

/** A part of an operand: what one set of kernel calls reads. */
export interface WeightGradientSide {
  readonly start: SlotAddress;
  readonly norm: SlotAddress;
  readonly hasNorm: number;
  readonly normChannels: number;
  /** Bytes from voxel to voxel. */
  readonly voxel: number;
  readonly channels: number;
  readonly padded: number;
  /** Its first channel among those of all parts. */
  readonly first: number;
  readonly grid: Vec3;
}

export interface WeightGradientPair {
  readonly a: WeightGradientSide;
  readonly b: WeightGradientSide;
  /** A channels of torch's gradient, which is (B, A, z, y, x). */
  readonly allA: number;
}

function sidesOf(operand: Operand, grid: Vec3): WeightGradientSide[] {
  const positions = (parts: readonly number[]) => sum(parts.map(padToFour));
  const { parts, second, normSlot } = operand;
  return parts.map((channels, i) => {
    const [tensor, firstPart] = second && i >= second.firstPart ? [second, second.firstPart] : [operand, 0];
    const position = positions(parts.slice(0, i));
    const offset = tensor.channelOffset + positions(parts.slice(firstPart, i));
    return {
      start: at(tensor.slot, offset * 4),
      norm: normSlot === undefined ? at(tensor.slot) : at(normSlot, position * 4),
      hasNorm: normSlot === undefined ? 0 : 1,
      normChannels: positions(parts),
      voxel: tensor.channelStride * 4,
      channels,
      padded: padToFour(channels),
      first: sum(parts.slice(0, i)),
      grid,
    };
  });
}

/** One pair for each part of the input. */
export function weightGradientPairs(problem: WeightGradientProblem): WeightGradientPair[] {
  const { input, outputGradient, transposed } = problem;
  const inputs = sidesOf(input, problem.inputGrid);
  const [output] = sidesOf(outputGradient, gradientOutputGrid(problem));
  const allA = transposed ? output.channels : sum(input.parts);
  return inputs.map((side) => transposed ? { a: output, b: side, allA } : { a: side, b: output, allA });
}

/** Sizes of groups that `channels` divide into, multiples of `unit`: all in one, halves, ... down to 16 channels. */
export function groupSizes(channels: number, unit: number): number[] {
  const sizes = new Set<number>();
  for (const parts of [1, 2, 4, 8, 16]) {
    const size = ceilDiv(ceilDiv(channels, parts), unit) * unit;
    if (parts === 1 || size >= 16) sizes.add(size);
  }
  return [...sizes];
}

/** Bytes of an item's sums, and of those of all groups and chunks together, at most. */
export const MOST_GROUP_SUMS = 8 << 20;
export const MOST_SUMS = 64 << 20;

/** Numbers of chunks worth trying: what idle threads or a cache want. */
export function chunkCounts(blocks: number): number[] {
  return [1, 2, 4, 8, 16].filter((chunks) => chunks <= Math.max(blocks, 1));
}
