/**
 * A channel as it would look at a lower resolution: voxels picked, then interpolated back.
 * Source: batchgeneratorsv2/transforms/spatial/low_resolution.py (0.3.6), torch's interpolate "nearest-exact" and "trilinear".
 */
import { roundHalfEven } from "../../base/numeric.ts";
import type { Vec3 } from "../../base/shape.ts";

/** Edges at the lower resolution. */
export function lowResolutionSize(size: Vec3, scale: number, keepZ: boolean): Vec3 {
  const shrunk = (n: number) => Math.max(1, roundHalfEven(n * Math.fround(scale)));
  return [keepZ ? size[0] : shrunk(size[0]), shrunk(size[1]), shrunk(size[2])];
}

/** Reduces `image` (size) to `low` voxels and back, in place. */
export function simulateLowResolution(
  image: Float32Array,
  size: Vec3,
  low: Vec3,
  scratch: readonly [Float32Array, Float32Array],
): void {
  const [picked, line] = scratch;
  const [zs, ys, xs] = [0, 1, 2].map((axis) => pickedIndices(size[axis], low[axis]));
  let to = 0;
  for (let z = 0; z < low[0]; z++) {
    for (let y = 0; y < low[1]; y++) {
      const row = (zs[z] * size[1] + ys[y]) * size[2];
      for (let x = 0; x < low[2]; x++) picked[to++] = image[row + xs[x]];
    }
  }
  const [up0, up1, up2] = [0, 1, 2].map((axis) => interpolation(low[axis], size[axis]));
  const [depth, height, width] = size;
  const lowWidth = low[2];
  for (let z = 0; z < depth; z++) {
    const fz = up0.weight[z];
    for (let y = 0; y < height; y++) {
      const fy = up1.weight[y];
      const a = (up0.below[z] * low[1] + up1.below[y]) * lowWidth;
      const b = (up0.below[z] * low[1] + up1.above[y]) * lowWidth;
      const c = (up0.above[z] * low[1] + up1.below[y]) * lowWidth;
      const d = (up0.above[z] * low[1] + up1.above[y]) * lowWidth;
      for (let x = 0; x < lowWidth; x++) {
        const near = picked[a + x] + fy * (picked[b + x] - picked[a + x]);
        const far = picked[c + x] + fy * (picked[d + x] - picked[c + x]);
        line[x] = near + fz * (far - near);
      }
      expandRow(line, image, (z * height + y) * width, width, up2);
    }
  }
}

interface Interpolation {
  readonly below: Int32Array;
  readonly above: Int32Array;
  readonly weight: Float64Array;
}

function expandRow(line: Float32Array, image: Float32Array, at: number, width: number, along: Interpolation): void {
  const { below, above, weight } = along;
  for (let x = 0; x < width; x++) {
    const value = line[below[x]];
    image[at + x] = value + weight[x] * (line[above[x]] - value);
  }
}

/** Which of `count` voxels are kept where there are `fewer`; in float32 as torch computes it. */
function pickedIndices(count: number, fewer: number): Int32Array {
  const scale = Math.fround(count / fewer);
  return Int32Array.from(
    { length: fewer },
    (_, i) => Math.min(count - 1, Math.floor(Math.fround(Math.fround(i + 0.5) * scale))),
  );
}

/** From `few` voxels to `count`, with half-voxel centres, clamped at the ends. */
function interpolation(few: number, count: number): Interpolation {
  const below = new Int32Array(count);
  const above = new Int32Array(count);
  const weight = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    const position = Math.max((i + 0.5) * few / count - 0.5, 0);
    below[i] = Math.min(Math.floor(position), few - 1);
    above[i] = Math.min(below[i] + 1, few - 1);
    weight[i] = position - below[i];
  }
  return { below, above, weight };
}
