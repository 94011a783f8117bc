/** The plain truth about a convolution's gradients: loops over torch's layouts in float64. For tests. */
import type { Vec3 } from "../../../core/base/shape.ts";

export interface ReferenceGradients {
  /** (inputs, z, y, x). */
  readonly input: Float64Array;
  /** torch's weight layout. */
  readonly weight: Float64Array;
  readonly bias: Float64Array;
}

/**
 * Gradients of one sample. `input` (inputs, z, y, x) is what the convolution reads, `outputGradient` (outputs, z, y, x) on `outputGrid`;
 * `weight` (out, in, kz, ky, kx), or (in, out, sz, sy, sx) of a transposed convolution, whose kernel is its stride.
 */
export function referenceGradients(
  input: ArrayLike<number>,
  inputGrid: Vec3,
  outputGradient: ArrayLike<number>,
  outputGrid: Vec3,
  weight: ArrayLike<number>,
  [inputs, outputs]: readonly [number, number],
  kernel: Vec3,
  stride: Vec3,
  transposed: boolean,
): ReferenceGradients {
  const size = ([z, y, x]: Vec3) => z * y * x;
  const result = {
    input: new Float64Array(inputs * size(inputGrid)),
    weight: new Float64Array(inputs * outputs * size(kernel)),
    bias: new Float64Array(outputs),
  };
  // The grid that is walked, and the one its voxels reach at q * stride + tap - pad.
  const [walked, reached] = transposed ? [inputGrid, outputGrid] : [outputGrid, inputGrid];
  const pad = kernel.map((k) => (transposed ? 0 : (k - 1) >> 1));
  const digits = (index: number, [, y, x]: Vec3) => [Math.floor(index / (y * x)), Math.floor(index / x) % y, index % x];
  for (let q = 0; q < size(walked); q++) {
    const at = digits(q, walked);
    for (let t = 0; t < size(kernel); t++) {
      const to = digits(t, kernel).map((tap, i) => at[i] * stride[i] + tap - pad[i]);
      if (to.some((n, i) => n < 0 || n >= reached[i])) continue;
      const r = (to[0] * reached[1] + to[1]) * reached[2] + to[2];
      const [i, o] = transposed ? [q, r] : [r, q];
      for (let a = 0; a < inputs; a++) {
        for (let b = 0; b < outputs; b++) {
          const w = (transposed ? a * outputs + b : b * inputs + a) * size(kernel) + t;
          const gradient = outputGradient[b * size(outputGrid) + o];
          result.weight[w] += gradient * input[a * size(inputGrid) + i];
          result.input[a * size(inputGrid) + i] += gradient * weight[w];
        }
      }
    }
  }
  for (let b = 0; b < outputs; b++) {
    for (let o = 0; o < size(outputGrid); o++) result.bias[b] += outputGradient[b * size(outputGrid) + o];
  }
  return result;
}
