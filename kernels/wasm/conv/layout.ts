/** How an operand's channels lie in memory, as the packed weights must follow them. */
import { ceilDiv, sum } from "../../operators/arithmetic.ts";
import { padToFour } from "../../../core/base/shape.ts";
import type { Operand } from "../kernel.ts";
import { at } from "../params.ts";
import { PANEL } from "./gemm_kernels.ts";

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

/** Divisions of an axis worth trying: about halves. */
export function aboutHalves(size: number): number[] {
  const sizes = new Set<number>();
  for (let parts = 1; parts < size; parts = Math.max(parts + 1, Math.floor(parts * 1.5))) {
    sizes.add(ceilDiv(size, parts));
  }
  return [...sizes, 1];
}
