/** Gaussian filter of a channel as scipy's: out to four standard deviations, edges repeated by reflection. Source: scipy.ndimage. */
import type { Vec3 } from "../../base/shape.ts";
import { symmetricIndex } from "./symmetric.ts";

/** Half of the kernel, its centre first. */
function gaussianKernel(sigma: number): Float64Array {
  const radius = Math.max(1, Math.floor(4 * sigma + 0.5));
  const kernel = Float64Array.from({ length: radius + 1 }, (_, i) => Math.exp(-0.5 * (i / sigma) ** 2));
  const sum = kernel.reduce((total, weight, i) => total + (i === 0 ? weight : 2 * weight), 0);
  return kernel.map((weight) => weight / sum);
}

/** Filters `image` (size) in place along every axis of more than one voxel. @param scratch One of the channel's length */
export function gaussianFilter(image: Float32Array, size: Vec3, sigma: number, scratch: Float32Array): void {
  const kernel = gaussianKernel(sigma);
  const [depth, height, width] = size;
  let current = image;
  let other = scratch;
  const swap = () => [current, other] = [other, current];
  if (depth > 1) {
    filterLines(current, other, kernel, 1, depth, height * width);
    swap();
  }
  filterLines(current, other, kernel, depth, height, width);
  swap();
  filterRows(current, image, kernel, depth * height, width);
}

/** Filters across lines: `lines` of them, each contiguous and `length` long, in each of `blocks` blocks. */
function filterLines(
  source: Float32Array,
  target: Float32Array,
  kernel: Float64Array,
  blocks: number,
  lines: number,
  length: number,
): void {
  for (let block = 0; block < blocks; block++) {
    const base = block * lines * length;
    for (let line = 0; line < lines; line++) {
      const at = base + line * length;
      const from = (distance: number) => base + symmetricIndex(line + distance, lines) * length;
      sumLines(source, from, target, at, kernel, length);
    }
  }
}

/** Filters along rows; `target` may be the source. */
function filterRows(
  source: Float32Array,
  target: Float32Array,
  kernel: Float64Array,
  rows: number,
  width: number,
): void {
  const radius = kernel.length - 1;
  const indices = Int32Array.from({ length: width + 2 * radius }, (_, i) => symmetricIndex(i - radius, width));
  const padded = new Float32Array(indices.length);
  const from = (distance: number) => radius + distance;
  for (let row = 0; row < rows; row++) {
    const at = row * width;
    for (let i = 0; i < radius; i++) {
      padded[i] = source[at + indices[i]];
      padded[radius + width + i] = source[at + indices[radius + width + i]];
    }
    for (let i = 0; i < width; i++) padded[radius + i] = source[at + i];
    sumLines(padded, from, target, at, kernel, width);
  }
}

/** The weighted sum of the lines at `from(-radius)` to `from(radius)`, two distances at a time. */
function sumLines(
  source: Float32Array,
  from: (distance: number) => number,
  target: Float32Array,
  to: number,
  kernel: Float64Array,
  length: number,
): void {
  const centre = from(0);
  const w0 = kernel[0];
  for (let k = 1; k < kernel.length; k += 2) {
    const [a, b] = [from(-k), from(k)];
    const w1 = kernel[k];
    const hasSecond = k + 1 < kernel.length;
    const [c, d] = hasSecond ? [from(-k - 1), from(k + 1)] : [a, b];
    const w2 = hasSecond ? kernel[k + 1] : 0;
    if (k === 1) {
      for (let i = 0; i < length; i++) {
        target[to + i] = w0 * source[centre + i] + w1 * (source[a + i] + source[b + i]) +
          w2 * (source[c + i] + source[d + i]);
      }
    } else {
      for (let i = 0; i < length; i++) {
        target[to + i] += w1 * (source[a + i] + source[b + i]) + w2 * (source[c + i] + source[d + i]);
      }
    }
  }
}
