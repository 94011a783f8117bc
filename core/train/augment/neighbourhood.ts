/** Sharpening, and boxes made blank. Source: batchgenerators/transforms/noise_transforms.py (0.25.5). */
import type { Vec3 } from "../../base/shape.ts";
import { rangeOf } from "./intensity.ts";

/** Adds `strength` times the distance to the sum of the neighbours (0 outside), within the range that there was. */
export function sharpen(image: Float32Array, size: Vec3, strength: number, scratch: Float32Array): void {
  const { lowest, highest } = rangeOf(image);
  const [depth, height, width] = size;
  const plane = height * width;
  scratch.set(image);
  const own = 1 + strength * (depth === 1 ? 4 : 6);
  const zeros = new Float32Array(width);
  for (let z = 0; z < depth; z++) {
    for (let y = 0; y < height; y++) {
      const at = z * plane + y * width;
      const line = (inside: boolean, from: number) => inside ? scratch.subarray(from, from + width) : zeros;
      const above = line(y > 0, at - width);
      const below = line(y < height - 1, at + width);
      const before = line(z > 0, at - plane);
      const behind = line(z < depth - 1, at + plane);
      let left = 0;
      for (let x = 0; x < width; x++) {
        const value = scratch[at + x];
        const right = x < width - 1 ? scratch[at + x + 1] : 0;
        const around = left + right + above[x] + below[x] + before[x] + behind[x];
        image[at + x] = Math.min(Math.max(own * value - strength * around, lowest), highest);
        left = value;
      }
    }
  }
}

/** Sets a box of `image` (size) to its mean. */
export function blankBox(image: Float32Array, [, height, width]: Vec3, start: Vec3, box: Vec3): void {
  const rows = (visit: (from: number, to: number) => void) => {
    for (let z = start[0]; z < start[0] + box[0]; z++) {
      for (let y = start[1]; y < start[1] + box[1]; y++) {
        const from = (z * height + y) * width + start[2];
        visit(from, from + box[2]);
      }
    }
  };
  let sum = 0;
  rows((from, to) => {
    for (let i = from; i < to; i++) sum += image[i];
  });
  const mean = sum / (box[0] * box[1] * box[2]);
  rows((from, to) => image.fill(mean, from, to));
}
