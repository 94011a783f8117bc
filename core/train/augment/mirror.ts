/** Flips of channels along their axes, in place. */
import type { Vec3 } from "../../base/shape.ts";

/** Flips each of `channels` channels of `size` along `axes` of (z, y, x); rows change places in one pass for all axes. */
export function mirror(image: Float32Array | Int16Array, channels: number, size: Vec3, axes: readonly number[]): void {
  const [depth, height, width] = size;
  const alongX = axes.includes(2);
  const kept = image.slice(0, width);
  for (let c = 0; c < channels; c++) {
    for (let z = 0; z < depth; z++) {
      const otherZ = axes.includes(0) ? depth - 1 - z : z;
      for (let y = 0; y < height; y++) {
        const otherY = axes.includes(1) ? height - 1 - y : y;
        const a = ((c * depth + z) * height + y) * width;
        const b = ((c * depth + otherZ) * height + otherY) * width;
        if (b > a) {
          kept.set(image.subarray(a, a + width));
          image.copyWithin(a, b, b + width);
          image.set(kept, b);
        }
        if (alongX) image.subarray(a, a + width).reverse();
      }
    }
  }
}
