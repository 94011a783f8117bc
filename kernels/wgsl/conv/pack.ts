/** From torch's weights to the kernels': k as the kernels run over it, output channels padded to four, the bias behind. */
import { padToFour, type Vec3 } from "../../../core/base/shape.ts";
import { transformAxis } from "../../operators/conv/transform_weights.ts";
import type { AxisScheme } from "../../operators/conv/scheme.ts";
import type { ChannelLayout } from "../../operators/tensor.ts";
import { productOf } from "../../operators/arithmetic.ts";

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
  schemes: readonly [AxisScheme, AxisScheme, AxisScheme],
  layout: ChannelLayout,
  outputs: number,
  weight: Float32Array,
  bias: Float32Array | undefined,
  out: Float32Array,
): void {
  const [gz, gy, gx] = schemes.map((s) => s.weight);
  const [tz, ty, tx]: Vec3 = [schemes[0].taps, schemes[1].taps, schemes[2].taps];
  const taps = tz * ty * tx;
  const inputs = layout.positions.length;
  const columns = padToFour(outputs);
  const count = productOf([gz.length, gy.length, gx.length]);
  const [a, b, c] = [new Float64Array(taps), new Float64Array(count), new Float64Array(count)];
  out.fill(0);
  for (let o = 0; o < outputs; o++) {
    for (let i = 0; i < inputs; i++) {
      const start = (o * inputs + i) * taps;
      for (let t = 0; t < taps; t++) a[t] = weight[start + t];
      transformAxis(gz, a, b, 1, ty * tx);
      transformAxis(gy, b, c, gz.length, tx);
      transformAxis(gx, c, b, gz.length * gy.length, 1);
      const to = layout.positions[i] * columns + o;
      for (let u = 0; u < count; u++) out[u * layout.padded * columns + to] = b[u];
    }
  }
  if (bias) out.set(bias, count * layout.padded * columns);
}
