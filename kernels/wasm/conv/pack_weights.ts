/** Where kernels have their weights: in panels of eight output channels, input channels as they lie in memory, the bias behind all panels. */
import type { PackedPlaces } from "../../operators/conv/pack_weights.ts";
import type { ChannelLayout } from "../../operators/tensor.ts";
import { PANEL } from "./gemm_kernels.ts";
import { padToPanel } from "./layout.ts";

/** [tap or transformed weight][panel][input channel][8]: of transform-domain (U [z][y][x]) and of transposed convolutions. */
export function matrixPlaces({ padded, positions }: ChannelLayout, outputs: number, count: number): PackedPlaces {
  const matrix = padded * padToPanel(outputs);
  return {
    placeOf: (input, output) => (Math.floor(output / PANEL) * padded + positions[input]) * PANEL + output % PANEL,
    step: matrix,
    biasAt: count * matrix,
  };
}

/** [panel][z tap][y tap][x tap][staged channel][8]; `staged` is how many channels a voxel has in the kernels' box. */
export function directPlaces(
  { positions }: ChannelLayout,
  staged: number,
  outputs: number,
  taps: number,
): PackedPlaces {
  const panel = taps * staged;
  return {
    placeOf: (input, output) => (Math.floor(output / PANEL) * panel + positions[input]) * PANEL + output % PANEL,
    step: staged * PANEL,
    biasAt: padToPanel(outputs) * panel,
  };
}
