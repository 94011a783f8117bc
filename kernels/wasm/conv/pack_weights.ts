/** From torch's weights to the kernels': transformed, in panels of eight output channels, input channels as they lie in memory. */
import { eachTransformed } from "../../operators/conv/transform_weights.ts";
import type { Vec3 } from "../../../core/base/shape.ts";
import { PANEL } from "./gemm_kernels.ts";
import { padToPanel } from "./layout.ts";
import type { ChannelLayout } from "../../operators/tensor.ts";
import { productOf } from "../../operators/arithmetic.ts";
import { type SchemeTriple, weightCount } from "../../operators/conv/scheme.ts";

/**
 * U [z][y][x][panel][input channel][8] and the bias, padded to whole panels, behind it. Weight is torch's (out, in, z, y, x).
 */
export function packWinograd(
  schemes: SchemeTriple,
  layout: ChannelLayout,
  outputChannels: number,
  weight: Float32Array,
  bias: Float32Array | undefined,
  out: Float32Array,
): void {
  const panelChannels = padToPanel(outputChannels);
  const matrix = layout.padded * panelChannels;
  const count = weightCount(schemes);
  out.fill(0);
  eachTransformed(schemes, [layout.positions.length, outputChannels], weight, (i, o, transformed) => {
    const position = Math.floor(o / PANEL) * layout.padded * PANEL + o % PANEL + layout.positions[i] * PANEL;
    for (let u = 0; u < count; u++) out[u * matrix + position] = transformed[u];
  });
  if (bias) out.set(bias, count * matrix);
}

/**
 * [panel][z tap][y tap][x tap][staged channel][8] and the bias behind it. `staged` is how many channels a voxel has in the kernels' box.
 */
export function packDirect(
  kernel: Vec3,
  layout: ChannelLayout,
  staged: number,
  outputChannels: number,
  weight: Float32Array,
  bias: Float32Array | undefined,
  out: Float32Array,
): void {
  const taps = productOf(kernel);
  const inputs = layout.positions.length;
  const panel = taps * staged * PANEL;
  out.fill(0);
  for (let o = 0; o < outputChannels; o++) {
    const start = Math.floor(o / PANEL) * panel + o % PANEL;
    for (let i = 0; i < inputs; i++) {
      const from = (o * inputs + i) * taps;
      const to = start + layout.positions[i] * PANEL;
      for (let t = 0; t < taps; t++) out[to + t * staged * PANEL] = weight[from + t];
    }
  }
  if (bias) out.set(bias, padToPanel(outputChannels) * taps * staged);
}

/** [tap][panel][channel][8] and the bias behind it, from torch's (in, out, z, y, x). */
export function packTransposed(
  taps: number,
  layout: ChannelLayout,
  outputChannels: number,
  weight: Float32Array,
  bias: Float32Array | undefined,
  out: Float32Array,
): void {
  const panelChannels = padToPanel(outputChannels);
  const matrix = layout.padded * panelChannels;
  out.fill(0);
  layout.positions.forEach((position, i) => {
    for (let o = 0; o < outputChannels; o++) {
      const to = Math.floor(o / PANEL) * layout.padded * PANEL + position * PANEL + o % PANEL;
      const from = (i * outputChannels + o) * taps;
      for (let t = 0; t < taps; t++) out[t * matrix + to] = weight[from + t];
    }
  });
  if (bias) out.set(bias, taps * matrix);
}
