/** From torch's weights to the kernels': k as the kernels run over it, output channels padded to four, the bias behind. */
import { padToFour } from "../../../core/base/shape.ts";
import { eachTransformed } from "../../operators/conv/transform_weights.ts";
import { type SchemeTriple, weightCount } from "../../operators/conv/scheme.ts";
import type { ChannelLayout } from "../../operators/tensor.ts";

/**
 * [tap][position in memory][output channel] and the bias, from torch's (out, in, z, y, x). `stride` is how far taps are apart, in
 * channels: those in memory, or the real ones where k runs over these alone.
 */
export function packDirect(
  taps: number,
  positions: readonly number[],
  stride: number,
  depth: number,
  outputs: number,
  weight: Float32Array,
  bias: Float32Array | undefined,
  out: Float32Array,
): void {
  const columns = padToFour(outputs);
  const inputs = positions.length;
  out.fill(0);
  for (let t = 0; t < taps; t++) {
    positions.forEach((position, i) => {
      const to = (t * stride + position) * columns;
      for (let o = 0; o < outputs; o++) out[to + o] = weight[(o * inputs + i) * taps + t];
    });
  }
  if (bias) out.set(bias, depth * columns);
}

/** [position in memory][tap][output channel] and the bias, from torch's (in, out, z, y, x). */
export function packTransposed(
  taps: number,
  layout: ChannelLayout,
  outputs: number,
  weight: Float32Array,
  bias: Float32Array | undefined,
  out: Float32Array,
): void {
  const columns = padToFour(outputs);
  out.fill(0);
  layout.positions.forEach((position, i) => {
    for (let o = 0; o < outputs; o++) {
      for (let t = 0; t < taps; t++) {
        out[(position * taps + t) * columns + o] = weight[(i * outputs + o) * taps + t];
      }
    }
  });
  if (bias) out.set(bias, layout.padded * taps * columns);
}

/** U: [z][y][x transformed weight][position in memory][output channel], and the bias. Transformed in f64, rounded once. */
export function packWinograd(
  schemes: SchemeTriple,
  layout: ChannelLayout,
  outputs: number,
  weight: Float32Array,
  bias: Float32Array | undefined,
  out: Float32Array,
): void {
  const columns = padToFour(outputs);
  const count = weightCount(schemes);
  out.fill(0);
  eachTransformed(schemes, [layout.positions.length, outputs], weight, (i, o, transformed) => {
    const to = layout.positions[i] * columns + o;
    for (let u = 0; u < count; u++) out[u * layout.padded * columns + to] = transformed[u];
  });
  if (bias) out.set(bias, count * layout.padded * columns);
}
