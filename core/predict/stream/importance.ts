/**
 * The Gaussian that weighs a patch's logits: largest in the centre, so that tiles blend without seams.
 * Source: compute_gaussian in nnunetv2/inference/sliding_window_prediction.py with sigma = patch / 8 and a peak of 10, rounded to
 * float16 as there; entries that become 0 take the smallest one that does not, so that no voxel has a weight of 0.
 */
import type { Vec3 } from "../../base/shape.ts";

const SIGMA_SHARE = 1 / 8;
const PEAK = 10;
/** scipy.ndimage.gaussian_filter cuts its kernel off after this many sigmas. */
const TRUNCATE = 4;

/** Importance map of a patch (z, y, x), contiguous. 2-D patches have z = 1, which has no share in it. */
export function importanceMap(patch: Vec3): Float32Array<ArrayBuffer> {
  const [z, y, x] = patch.map((size, axis) => profile(size, axis === 0 && size === 1));
  const max = Math.max(...z) * Math.max(...y) * Math.max(...x);
  const divisor = max / PEAK;
  const rounded = new Float16Array(1);
  const map = new Float32Array(patch[0] * patch[1] * patch[2]);
  let smallest = Infinity;
  let at = 0;
  for (const a of z) {
    for (const b of y) {
      const ab = a * b;
      for (const c of x) {
        // torch converts double to half by way of float.
        rounded[0] = Math.fround((ab * c) / divisor);
        const value = rounded[0];
        if (value > 0 && value < smallest) smallest = value;
        map[at++] = value;
      }
    }
  }
  for (let i = 0; i < map.length; i++) if (map[i] === 0) map[i] = smallest;
  return map;
}

/** The 1-D filtered impulse of scipy.ndimage.gaussian_filter1d (mode constant) with the impulse at size // 2. */
function profile(size: number, isSliceAxis: boolean): Float64Array {
  if (isSliceAxis) return Float64Array.of(1);
  const sigma = size * SIGMA_SHARE;
  const radius = Math.floor(TRUNCATE * sigma + 0.5);
  const kernel = new Float64Array(2 * radius + 1);
  let sum = 0;
  for (let i = -radius; i <= radius; i++) {
    kernel[i + radius] = Math.exp((-0.5 / (sigma * sigma)) * i * i);
    sum += kernel[i + radius];
  }
  const centre = Math.floor(size / 2);
  const values = new Float64Array(size);
  for (let i = 0; i < size; i++) {
    const distance = Math.abs(i - centre);
    if (distance <= radius) values[i] = kernel[radius + distance] / sum;
  }
  return values;
}
