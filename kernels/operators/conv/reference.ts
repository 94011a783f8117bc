/** The plain truth about convolutions: loops over torch's layouts in float64. For tests. */
import type { Vec3 } from "../../../core/base/shape.ts";
import { convOutputGrid } from "./problem.ts";

/**
 * Cross-correlation with zero padding (kernel-1)/2. `input` (channels, z, y, x), `weight` (out, in, kz, ky, kx).
 * Returns (out, z, y, x).
 */
export function referenceConv(
  input: Float32Array,
  grid: Vec3,
  weight: Float32Array,
  bias: Float32Array | undefined,
  [inputs, outputs]: readonly [number, number],
  kernel: Vec3,
  stride: Vec3,
): Float32Array {
  const out = convOutputGrid(grid, kernel, stride);
  const result = new Float32Array(outputs * out[0] * out[1] * out[2]);
  const [pz, py, px] = kernel.map((k) => (k - 1) >> 1);
  let at = 0;
  for (let o = 0; o < outputs; o++) {
    for (let z = 0; z < out[0]; z++) {
      for (let y = 0; y < out[1]; y++) {
        for (let x = 0; x < out[2]; x++) {
          let total = bias ? bias[o] : 0;
          for (let dz = 0; dz < kernel[0]; dz++) {
            const iz = z * stride[0] + dz - pz;
            if (iz < 0 || iz >= grid[0]) continue;
            for (let dy = 0; dy < kernel[1]; dy++) {
              const iy = y * stride[1] + dy - py;
              if (iy < 0 || iy >= grid[1]) continue;
              for (let dx = 0; dx < kernel[2]; dx++) {
                const ix = x * stride[2] + dx - px;
                if (ix < 0 || ix >= grid[2]) continue;
                for (let i = 0; i < inputs; i++) {
                  const w = weight[(((o * inputs + i) * kernel[0] + dz) * kernel[1] + dy) * kernel[2] + dx];
                  total += w * input[((i * grid[0] + iz) * grid[1] + iy) * grid[2] + ix];
                }
              }
            }
          }
          result[at++] = total;
        }
      }
    }
  }
  return result;
}

/** kernel = stride, no padding. `weight` (in, out, sz, sy, sx). Returns (out, z * sz, y * sy, x * sx). */
export function referenceTransposedConv(
  input: Float32Array,
  grid: Vec3,
  weight: Float32Array,
  bias: Float32Array | undefined,
  [inputs, outputs]: readonly [number, number],
  stride: Vec3,
): Float32Array {
  const out = grid.map((n, i) => n * stride[i]);
  const result = new Float32Array(outputs * out[0] * out[1] * out[2]);
  let at = 0;
  for (let o = 0; o < outputs; o++) {
    for (let z = 0; z < out[0]; z++) {
      for (let y = 0; y < out[1]; y++) {
        for (let x = 0; x < out[2]; x++) {
          const from = [z, y, x].map((n, i) => Math.floor(n / stride[i]));
          const tap = ((z % stride[0]) * stride[1] + y % stride[1]) * stride[2] + x % stride[2];
          let total = bias ? bias[o] : 0;
          for (let i = 0; i < inputs; i++) {
            const w = weight[(i * outputs + o) * stride[0] * stride[1] * stride[2] + tap];
            total += w * input[((i * grid[0] + from[0]) * grid[1] + from[1]) * grid[2] + from[2]];
          }
          result[at++] = total;
        }
      }
    }
  }
  return result;
}
