/** The samples that make_augmentation_golden.py gave to upstream, and how it stored what came out. */
import type { Vec3 } from "../../../core/base/shape.ts";

/** image(shape, k): `count` values in C order. */
export function image(count: number, k: number): Float32Array {
  return Float32Array.from({ length: count }, (_, n) => 10 * Math.sin(0.37 * n + k) + 3 * Math.cos(0.011 * n));
}

/** labels(shape, num, off). */
export function labels([depth, height, width]: Vec3, num: number, off: number): Int16Array {
  const result = new Int16Array(depth * height * width);
  for (let i = 0; i < result.length; i++) {
    const [x, y, z] = [i % width, Math.floor(i / width) % height, Math.floor(i / width / height)];
    result[i] = (Math.floor(z / 4) + 2 * Math.floor(y / 5) + 3 * Math.floor(x / 6)) % num + off;
  }
  return result;
}

export function bytes(base64: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
}

export function floats(base64: string): Float32Array {
  return new Float32Array(bytes(base64).buffer);
}

export function ints(base64: string): Int8Array {
  return new Int8Array(bytes(base64).buffer);
}

/** Every `step`-th value. */
export function thinned(values: Float32Array, step: number): Float32Array {
  return values.filter((_, i) => i % step === 0);
}
