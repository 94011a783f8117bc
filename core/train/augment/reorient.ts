/** Axes exchanged and flipped. */
import type { Vec3 } from "../../base/shape.ts";

/** Rows of a plane that are turned together: their lines of memory are read once. */
const BLOCK = 16;

/**
 * Gives `channels` channels of `size` their axes in another order: axis k becomes what was axis order[k], then `flips` are flipped. Axes
 * that change places are of equal length.
 * @param scratch One of a channel's bytes or more
 */
export function reorient(
  image: Float32Array | Int16Array,
  channels: number,
  size: Vec3,
  order: Vec3,
  flips: readonly number[],
  scratch: Float32Array,
): void {
  const [depth, height, width] = size;
  const voxels = depth * height * width;
  const strides = [height * width, width, 1];
  const step = order.map((from, axis) => flips.includes(axis) ? -strides[from] : strides[from]);
  const first = order.reduce(
    (sum, from, axis) => sum + (flips.includes(axis) ? (size[from] - 1) * strides[from] : 0),
    0,
  );
  const copy = image instanceof Float32Array ? scratch : new Int16Array(scratch.buffer, scratch.byteOffset, voxels);
  const [dz, dy, dx] = step;
  for (let c = 0; c < channels; c++) {
    const channel = image.subarray(c * voxels, (c + 1) * voxels);
    copy.set(channel);
    for (let z = 0; z < depth; z++) {
      for (let y0 = 0; y0 < height; y0 += BLOCK) {
        const yEnd = Math.min(y0 + BLOCK, height);
        for (let x0 = 0; x0 < width; x0 += BLOCK) {
          const xEnd = Math.min(x0 + BLOCK, width);
          for (let y = y0; y < yEnd; y++) {
            let from = first + z * dz + y * dy + x0 * dx;
            const to = (z * height + y) * width;
            for (let x = x0; x < xEnd; x++, from += dx) channel[to + x] = copy[from];
          }
        }
      }
    }
  }
}
