/** Mutations of bytes that know nothing of what they mean. */
import type { Random } from "./random.ts";

/** Numbers at and over the edges of their types. */
export const EXTREMES: readonly number[] = [
  ...[0, 1, -1, 2, 3, 7, 127, 128, -128, 255, 256, 1000, 32767, 32768, -32768, 65535, 65536],
  ...[2 ** 20, 2 ** 24, 2 ** 31 - 1, 2 ** 31, -(2 ** 31), 2 ** 32 - 1, 2 ** 32, 2 ** 40, 2 ** 53, 2 ** 63],
  ...[0.5, -0.5, NaN, Infinity, -Infinity, 1e-300, 1e-30, 1e30, 1e38, 1e300],
];

/** Writes a number of a random width and byte order at `at`, as far as it fits. */
export function putExtreme(bytes: Uint8Array, at: number, random: Random, width = random.pick([1, 2, 4, 8])): void {
  if (at + width > bytes.length) return;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const value = random.pick(EXTREMES);
  const little = random.chance(0.8);
  const whole = BigInt.asIntN(64, Number.isFinite(value) ? BigInt(Math.trunc(value)) : 0n);
  if (width === 1) view.setInt8(at, Number(BigInt.asIntN(8, whole)));
  else if (width === 2) view.setInt16(at, Number(BigInt.asIntN(16, whole)), little);
  else if (width === 4 && random.chance(0.5)) view.setFloat32(at, value, little);
  else if (width === 4) view.setInt32(at, Number(BigInt.asIntN(32, whole)), little);
  else if (random.chance(0.5)) view.setFloat64(at, value, little);
  else view.setBigInt64(at, whole, little);
}

type Mutation = (bytes: Uint8Array, random: Random, other: Uint8Array) => Uint8Array;

const MUTATIONS: readonly Mutation[] = [
  (bytes, random) => { // a flipped bit
    bytes[random.int(bytes.length)] ^= 1 << random.int(8);
    return bytes;
  },
  (bytes, random) => { // another byte
    bytes[random.int(bytes.length)] = random.int(256);
    return bytes;
  },
  (bytes, random) => { // an extreme number, mostly aligned
    const at = random.int(bytes.length);
    putExtreme(bytes, random.chance(0.7) ? at & ~3 : at, random);
    return bytes;
  },
  (bytes, random) => bytes.slice(0, random.int(bytes.length)), // cut off
  (bytes, random) => bytes.fill(random.pick([0, 255]), random.int(bytes.length), random.int(bytes.length)),
  (bytes, random) => { // a part of it again
    const [from, length] = [random.int(bytes.length), 1 + random.int(64)];
    return splice(bytes, random.int(bytes.length), 0, bytes.slice(from, from + length));
  },
  (bytes, random) => splice(bytes, random.int(bytes.length), 1 + random.int(16), new Uint8Array(0)),
  (bytes, random, other) => { // a part of another file in its place
    const [from, length] = [random.int(other.length), 1 + random.int(256)];
    return splice(bytes, random.int(bytes.length), length, other.slice(from, from + length));
  },
  (bytes, random) => splice(bytes, bytes.length, 0, new Uint8Array(1 + random.int(300)).fill(random.int(256))),
];

/** A changed copy. @param other A file of the same kind, to take parts of */
export function mutateBytes(bytes: Uint8Array, random: Random, other: Uint8Array = bytes): Uint8Array {
  let result: Uint8Array = bytes.slice();
  for (let left = 1 + random.int(random.pick([1, 1, 2, 4])); left > 0 && result.length > 0; left--) {
    result = random.pick(MUTATIONS)(result, random, other);
  }
  return result;
}

/** `bytes` with `remove` bytes at `at` replaced by others. */
export function splice(bytes: Uint8Array, at: number, remove: number, insert: Uint8Array): Uint8Array {
  return concat([bytes.subarray(0, at), insert, bytes.subarray(at + remove)]);
}

export function concat(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const result = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    result.set(part, at);
    at += part.length;
  }
  return result;
}
