/** Where kernels have their weights: k as they run over it, output channels padded to four, the bias behind. */
import { padToFour } from "../../../core/base/shape.ts";
import type { PackedPlaces } from "../../operators/conv/pack_weights.ts";
import type { ChannelLayout } from "../../operators/tensor.ts";

/**
 * [tap][position in memory][output channel], `depth` rows in all. `stride` is how far taps are apart, in channels: those in memory, or the
 * real ones where k runs over these alone.
 */
export function directPlaces(
  positions: readonly number[],
  stride: number,
  depth: number,
  outputs: number,
): PackedPlaces {
  const columns = padToFour(outputs);
  return {
    placeOf: (input, output) => positions[input] * columns + output,
    step: stride * columns,
    biasAt: depth * columns,
  };
}

/** [position in memory][tap][output channel]. */
export function transposedPlaces({ positions, padded }: ChannelLayout, outputs: number, taps: number): PackedPlaces {
  const columns = padToFour(outputs);
  return {
    placeOf: (input, output) => positions[input] * taps * columns + output,
    step: columns,
    biasAt: padded * taps * columns,
  };
}

/** U: [z][y][x transformed weight][position in memory][output channel]. */
export function transformedPlaces({ positions, padded }: ChannelLayout, outputs: number, count: number): PackedPlaces {
  return directPlaces(positions, padded, count * padded, outputs);
}
