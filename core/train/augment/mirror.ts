/** Flips of channels along their axes, in place. */
import type { Vec3 } from "../../base/shape.ts";

/** Flips each of `channels` channels of `size` along `axes` of (z, y, x). */
export function mirror(image: Float32Array | Int16Array, channels: number, size: Vec3, axes: readonly number[]): void {
  const [depth, height, width] = size;
  if (axes.includes(2)) {
    for (let at = 0; at < channels * depth * height * width; at += width) image.subarray(at, at + width).reverse();
  }
  if (axes.includes(1)) reverseLines(image, channels * depth, height, width);
  if (axes.includes(0)) reverseLines(image, channels, depth, height * width);
}

/** Reverses the order of the lines of `length` in each block. */
function reverseLines(image: Float32Array | Int16Array, blocks: number, lines: number, length: number): void {
  const kept = image.slice(0, length);
  for (let block = 0; block < blocks; block++) {
    const base = block * lines * length;
    for (let line = 0; line < lines >> 1; line++) {
      const a = base + line * length;
      const b = base + (lines - 1 - line) * length;
      kept.set(image.subarray(a, a + length));
      image.copyWithin(a, b, b + length);
      image.set(kept, b);
    }
  }
}
