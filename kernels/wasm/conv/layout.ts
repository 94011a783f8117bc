/** How an operand's channels lie in memory, as the packed weights must follow them. */
import { padToFour, voxelCount } from "../../../core/base/shape.ts";
import type { Operand } from "../kernel.ts";
import { at } from "../params.ts";
import { type ConvProblem, outputGridOf } from "../../operators/conv/problem.ts";
import { PANEL } from "./gemm_kernels.ts";

export interface ChannelLayout {
  /** Channels in memory: every part padded to four. */
  readonly padded: number;
  /** Position in memory of each real channel. */
  readonly positions: readonly number[];
}

export function channelLayout(operand: Operand): ChannelLayout {
  const positions: number[] = [];
  let padded = 0;
  for (const channels of operand.parts) {
    for (let c = 0; c < channels; c++) positions.push(padded + c);
    padded += padToFour(channels);
  }
  return { padded, positions };
}

/** Parameters for the tensors of an operand: its own, and the second one or nothing. */
export function sourceParams({ slot, channelStride, channelOffset, parts, second }: Operand) {
  const firstParts = second ? parts.slice(0, second.firstPart) : parts;
  return {
    source: at(slot, channelOffset * 4),
    secondSource: second ? at(second.slot, second.channelOffset * 4) : at(slot),
    sourceVoxel: channelStride * 4,
    secondVoxel: (second?.channelStride ?? 0) * 4,
    firstChannels: sum(firstParts.map(padToFour)),
  };
}

export const padToPanel = (channels: number) => Math.ceil(channels / PANEL) * PANEL;
export const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);
export const productOf = (values: readonly number[]) => values.reduce((a, b) => a * b, 1);
export const ceilDiv = (a: number, b: number) => Math.ceil(a / b);

/** Multiplications and additions of the direct form. */
export function convFlops(problem: ConvProblem): number {
  const out = voxelCount(outputGridOf(problem));
  return 2 * problem.batch * out * productOf(problem.kernel) * sum(problem.input.parts) * problem.outputChannels;
}
