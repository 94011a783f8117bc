/** Gaussian blur of a channel, one axis after the other. Source: batchgeneratorsv2/transforms/noise/gaussian_blur.py (0.3.6). */
import type { Vec3 } from "../../base/shape.ts";

/**
 * Half of the kernel, its centre first: 2, 3 or 4 weights. Sigmas are 0.5..1 voxels; the length is 6 sigma + 0.5, rounded to the
 * nearest odd number.
 */
export function blurKernel(sigma: number): Float64Array {
  const length = 6 * sigma + 0.5;
  const kernel = new Float64Array(length < 4 ? 2 : length < 6 ? 3 : 4);
  let sum = 0;
  for (let i = 0; i < kernel.length; i++) {
    kernel[i] = Math.exp(-0.5 * (i / sigma) ** 2);
    sum += i === 0 ? kernel[i] : 2 * kernel[i];
  }
  return kernel.map((weight) => weight / sum);
}

/**
 * Blurs `image` (size) in place; beyond its borders it is continued by reflection, without repeating the edge.
 * @param sigmas Standard deviations in voxels along z, y, x; 0: not along this axis
 */
export function blur(
  image: Float32Array,
  size: Vec3,
  sigmas: Vec3,
  scratch: readonly [Float32Array, Float32Array],
): void {
  const [depth, height, width] = size;
  let current = image;
  const next = () => current === scratch[0] ? scratch[1] : scratch[0];
  if (sigmas[0] > 0) {
    const target = next();
    blurLines(current, target, blurKernel(sigmas[0]), 1, depth, height * width);
    current = target;
  }
  if (sigmas[1] > 0) {
    const target = next();
    blurLines(current, target, blurKernel(sigmas[1]), depth, height, width);
    current = target;
  }
  if (sigmas[2] > 0) {
    // Rows are blurred from a copy, so that this can be the way back.
    if (current === image) {
      scratch[0].set(image);
      current = scratch[0];
    }
    blurRows(current, image, blurKernel(sigmas[2]), depth * height, width);
  } else if (current !== image) image.set(current);
}

/** Blurs across lines: `lines` of them, each contiguous and `length` long, in each of `blocks` blocks. */
function blurLines(
  source: Float32Array,
  target: Float32Array,
  kernel: Float64Array,
  blocks: number,
  lines: number,
  length: number,
): void {
  const radius = kernel.length - 1;
  const w0 = kernel[0];
  const w1 = kernel[1];
  const w2 = radius > 1 ? kernel[2] : 0;
  const w3 = radius > 2 ? kernel[3] : 0;
  for (let block = 0; block < blocks; block++) {
    const base = block * lines * length;
    for (let line = 0; line < lines; line++) {
      const at = base + line * length;
      const to = (distance: number) => base + reflected(line + distance, lines) * length;
      const [a1, b1] = [to(-1), to(1)];
      if (radius === 1) {
        for (let i = 0; i < length; i++) target[at + i] = w0 * source[at + i] + w1 * (source[a1 + i] + source[b1 + i]);
        continue;
      }
      const [a2, b2] = [to(-2), to(2)];
      if (radius === 2) {
        for (let i = 0; i < length; i++) {
          target[at + i] = w0 * source[at + i] + w1 * (source[a1 + i] + source[b1 + i]) +
            w2 * (source[a2 + i] + source[b2 + i]);
        }
        continue;
      }
      const [a3, b3] = [to(-3), to(3)];
      for (let i = 0; i < length; i++) {
        target[at + i] = w0 * source[at + i] + w1 * (source[a1 + i] + source[b1 + i]) +
          w2 * (source[a2 + i] + source[b2 + i]) + w3 * (source[a3 + i] + source[b3 + i]);
      }
    }
  }
}

/** Blurs along rows. */
function blurRows(source: Float32Array, target: Float32Array, kernel: Float64Array, rows: number, width: number): void {
  const radius = kernel.length - 1;
  const w0 = kernel[0];
  const w1 = kernel[1];
  const w2 = radius > 1 ? kernel[2] : 0;
  const w3 = radius > 2 ? kernel[3] : 0;
  const low = Math.min(radius, width);
  const high = Math.max(low, width - radius);
  for (let row = 0; row < rows; row++) {
    const at = row * width;
    for (let i = 0; i < low; i++) target[at + i] = atEdge(source, at, i, width, kernel);
    if (radius === 1) {
      for (let i = at + low; i < at + high; i++) target[i] = w0 * source[i] + w1 * (source[i - 1] + source[i + 1]);
    } else if (radius === 2) {
      for (let i = at + low; i < at + high; i++) {
        target[i] = w0 * source[i] + w1 * (source[i - 1] + source[i + 1]) + w2 * (source[i - 2] + source[i + 2]);
      }
    } else {
      for (let i = at + low; i < at + high; i++) {
        target[i] = w0 * source[i] + w1 * (source[i - 1] + source[i + 1]) + w2 * (source[i - 2] + source[i + 2]) +
          w3 * (source[i - 3] + source[i + 3]);
      }
    }
    for (let i = high; i < width; i++) target[at + i] = atEdge(source, at, i, width, kernel);
  }
}

function atEdge(source: Float32Array, at: number, i: number, width: number, kernel: Float64Array): number {
  let sum = kernel[0] * source[at + i];
  for (let k = 1; k < kernel.length; k++) {
    sum += kernel[k] * (source[at + reflected(i - k, width)] + source[at + reflected(i + k, width)]);
  }
  return sum;
}

/** Index of 0..count-1 that continues them by reflection; as often as it takes where `count` is small. */
function reflected(index: number, count: number): number {
  if (count === 1) return 0;
  const period = 2 * (count - 1);
  const folded = ((index % period) + period) % period;
  return folded < count ? folded : period - folded;
}
