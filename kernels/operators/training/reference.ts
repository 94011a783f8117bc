/** Plain references of the operators of training, in float64, for tests: what they compute, not how. */
import { padToFour, type Vec3 } from "../../../core/base/shape.ts";

/** What a normed tensor's readers saw, and the gradient of that: (batch, voxels, padded channels) both. */
export interface NormBackwardData {
  readonly batch: number;
  readonly voxels: number;
  readonly channels: number;
  readonly stored: ArrayLike<number>;
  readonly gradient: ArrayLike<number>;
  /** By channel. */
  readonly weight: ArrayLike<number>;
  readonly bias: ArrayLike<number>;
  readonly eps: number;
  readonly slope: number;
}

/**
 * Instance norm and leaky ReLU forward and backward: their norm tables [batch][3][padded channels] with and without weight and bias, dL/dx
 * laid out as `stored`, and the gradients of weight and bias.
 */
export function normBackwardReference({ batch, voxels, channels, stored, gradient, ...norm }: NormBackwardData) {
  const padded = padToFour(channels);
  const tables = { norm: new Float64Array(batch * 3 * padded), unit: new Float64Array(batch * 3 * padded) };
  const inputGradient = new Float64Array(stored.length);
  const [weightGradient, biasGradient] = [new Float64Array(padded), new Float64Array(padded)];
  for (let n = 0; n < batch; n++) {
    for (let c = 0; c < channels; c++) {
      const at = (v: number) => (n * voxels + v) * padded + c;
      const all = Array.from({ length: voxels }, (_, v) => stored[at(v)]);
      const mean = all.reduce((a, b) => a + b) / voxels;
      const deviation = Math.sqrt(all.reduce((a, b) => a + (b - mean) ** 2, 0) / voxels + norm.eps);
      const scale = norm.weight[c] / deviation;
      [1 / deviation, -mean / deviation, 1].forEach((x, row) => tables.unit[(n * 3 + row) * padded + c] = x);
      const entries = [scale, norm.bias[c] - mean * scale, norm.slope];
      entries.forEach((x, row) => tables.norm[(n * 3 + row) * padded + c] = x);
      const unitOf = (v: number) => (all[v] - mean) / deviation;
      const slopeAt = (v: number) => unitOf(v) * norm.weight[c] + norm.bias[c] > 0 ? 1 : norm.slope;
      const d = all.map((_, v) => gradient[at(v)] * slopeAt(v));
      const [sum, product] = [d.reduce((a, b) => a + b), d.reduce((a, b, v) => a + b * unitOf(v), 0)];
      weightGradient[c] += product;
      biasGradient[c] += sum;
      d.forEach((_, v) => inputGradient[at(v)] = scale * (d[v] - sum / voxels - unitOf(v) * product / voxels));
    }
  }
  return { ...tables, inputGradient, weightGradient, biasGradient };
}

/** An average pool's gradient shared by its windows, (batch, z, y, x, padded channels) of `grid`; `gradient` is that of the pooled grid. */
export function poolBackwardReference(
  gradient: ArrayLike<number>,
  batch: number,
  grid: Vec3,
  stride: Vec3,
  padded: number,
): Float64Array {
  const out = grid.map((n, i) => Math.floor(n / stride[i]));
  const result = new Float64Array(batch * grid[0] * grid[1] * grid[2] * padded);
  for (let i = 0; i < result.length; i++) {
    const [c, voxel] = [i % padded, Math.floor(i / padded)];
    const [x, row] = [voxel % grid[2], Math.floor(voxel / grid[2])];
    const [y, plane] = [row % grid[1], Math.floor(row / grid[1])];
    const at = [plane % grid[0], y, x].map((p, axis) => Math.floor(p / stride[axis]));
    if (at.some((p, axis) => p >= out[axis])) continue;
    const from = ((Math.floor(plane / grid[0]) * out[0] + at[0]) * out[1] + at[1]) * out[2] + at[2];
    result[i] = gradient[from * padded + c] / (stride[0] * stride[1] * stride[2]);
  }
  return result;
}

/** Shares of the values in weight / k * (sum of the k largest), rounded to f32, and that. */
export function topKReference(values: Float32Array, k: number, weight: number) {
  const sorted = values.toSorted().reverse();
  const least = sorted[k - 1];
  const tied = sorted.filter((value) => value === least).length;
  const above = sorted.filter((value) => value > least).length;
  const share = (value: number) => (value > least ? 1 : value === least ? (k - above) / tied : 0);
  return {
    shares: Float32Array.from(values, (value) => share(value) * weight / k),
    mean: weight / k * sorted.subarray(0, k).reduce((sum, value) => sum + value, 0),
  };
}
