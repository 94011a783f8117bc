/**
 * The previous stage's labels as masks in the network's input, and the random dilations, erosions, closings and openings of them.
 * Masks are worked on as bits, a row along x in whole words.
 * Sources: batchgeneratorsv2/transforms/nnunet/{seg_to_onehot,random_binary_operator}.py (0.3.6), skimage.morphology.ball and disk.
 */
import { type Vec3, voxelCount } from "../../base/shape.ts";
import type { BinaryOperator } from "./steps.ts";

/** Writes one channel of 0 and 1 for each of `values` into `image` from channel `first` on. */
export function writeMasks(labels: Int16Array, values: readonly number[], image: Float32Array, first: number): void {
  values.forEach((value, index) => {
    const at = (first + index) * labels.length;
    for (let i = 0; i < labels.length; i++) image[at + i] = labels[i] === value ? 1 : 0;
  });
}

/** A structuring element as runs of points along x, from `low` to `high` in each of `rows` (z, y); offsets from the voxel asked for. */
export type StructuringElement = readonly {
  readonly low: number;
  readonly high: number;
  readonly rows: readonly (readonly [number, number])[];
}[];

/** The element of radius `radius` >= 1, of as many points as upstream's: off-centre and of even length for some radii. */
export function structuringElement(radius: number, dimensions: 2 | 3): StructuringElement {
  const count = dimensions === 3 ? Math.floor(2 * radius + 1) : Math.ceil(2 * radius + 1);
  const step = dimensions === 3 ? 2 * radius / (count - 1) : 1;
  const points = Array.from({ length: count }, (_, i) => i * step - radius);
  const centre = (count - 1) >> 1;
  const runs = new Map<number, { low: number; high: number; rows: [number, number][] }>();
  for (const [iz, z] of dimensions === 3 ? points.entries() : [[centre, 0]]) {
    for (const [iy, y] of points.entries()) {
      const inside = points.map((x) => x ** 2 + y ** 2 + z ** 2 <= radius * radius);
      if (!inside.includes(true)) continue;
      const low = inside.indexOf(true) - centre;
      const high = inside.lastIndexOf(true) - centre;
      const run = runs.get(low * count + high) ?? { low, high, rows: [] };
      run.rows.push([iz - centre, iy - centre]);
      runs.set(low * count + high, run);
    }
  }
  return [...runs.values()];
}

/** The element seen from its other side; elements of even length are off-centre. */
export function reversed(element: StructuringElement): StructuringElement {
  return element.map(({ low, high, rows }) => ({
    low: -high,
    high: -low,
    rows: rows.map(([z, y]) => [-z, -y] as const),
  }));
}

/**
 * Applies an operator to mask `mask` of the `masks` channels of `image` from `first` on; voxels it gains are cleared in the others.
 * @param erodingElement That of erosions: torch's dilate the complement by the same element, skimage's (recipe "da5") by the reversed one
 */
export function applyOperator(
  image: Float32Array,
  size: Vec3,
  first: number,
  masks: number,
  mask: number,
  operator: BinaryOperator,
  element: StructuringElement,
  erodingElement = element,
): void {
  const voxels = voxelCount(size);
  const own = image.subarray((first + mask) * voxels, (first + mask + 1) * voxels);
  let bits = packBits(own, size);
  const order: readonly ("dilate" | "erode")[] = operator === "dilation"
    ? ["dilate"]
    : operator === "erosion"
    ? ["erode"]
    : operator === "closing"
    ? ["dilate", "erode"]
    : ["erode", "dilate"];
  for (const step of order) {
    if (step === "erode") invert(bits, size[2]);
    bits = dilate(bits, size, step === "erode" ? erodingElement : element);
    if (step === "erode") invert(bits, size[2]);
  }
  const words = wordsOf(size[2]);
  for (let row = 0; row < size[0] * size[1]; row++) {
    for (let x = 0; x < size[2]; x++) {
      const i = row * size[2] + x;
      const value = (bits[row * words + (x >> 5)] >>> (x & 31)) & 1;
      if (value === own[i]) continue;
      own[i] = value;
      if (value === 0) continue;
      for (let other = 0; other < masks; other++) if (other !== mask) image[(first + other) * voxels + i] = 0;
    }
  }
}

function wordsOf(width: number): number {
  return (width + 31) >> 5;
}

function packBits(values: Float32Array, [depth, height, width]: Vec3): Int32Array {
  const words = wordsOf(width);
  const bits = new Int32Array(depth * height * words);
  for (let row = 0; row < depth * height; row++) {
    for (let x = 0; x < width; x++) {
      if (values[row * width + x] !== 0) bits[row * words + (x >> 5)] |= 1 << (x & 31);
    }
  }
  return bits;
}

/** Complements the voxels; bits behind a row's end stay 0. */
function invert(bits: Int32Array, width: number): void {
  const words = wordsOf(width);
  const last = lastWordMask(width);
  for (let i = 0; i < bits.length; i++) bits[i] = ~bits[i] & (i % words === words - 1 ? last : -1);
}

function lastWordMask(width: number): number {
  return width % 32 === 0 ? -1 : (1 << (width % 32)) - 1;
}

/** A voxel is set where the element placed on it meets a set voxel. */
function dilate(bits: Int32Array, [depth, height, width]: Vec3, element: StructuringElement): Int32Array {
  const words = wordsOf(width);
  const result = new Int32Array(bits.length);
  const spread = new Int32Array(bits.length);
  const filled = filledRows(bits, depth * height, words);
  for (const { low, high, rows } of element) {
    for (const row of filled) spreadRow(bits, spread, row * words, words, low, high, lastWordMask(width));
    for (const [dz, dy] of rows) {
      for (let i = 0; i < filled.length; i++) {
        const row = filled[i];
        const z = Math.floor(row / height) - dz;
        const y = row % height - dy;
        if (z < 0 || y < 0 || z >= depth || y >= height) continue;
        const to = (z * height + y) * words;
        const from = row * words;
        for (let w = 0; w < words; w++) result[to + w] |= spread[from + w];
      }
    }
  }
  return result;
}

/** Rows with any voxel set. */
function filledRows(bits: Int32Array, rows: number, words: number): Int32Array {
  const filled = new Int32Array(rows);
  let count = 0;
  for (let row = 0; row < rows; row++) {
    let any = 0;
    for (let w = 0; w < words; w++) any |= bits[row * words + w];
    if (any !== 0) filled[count++] = row;
  }
  return filled.subarray(0, count);
}

/** Dilates a row along x: voxel x is set where one of x + low..x + high is. */
function spreadRow(
  bits: Int32Array,
  spread: Int32Array,
  at: number,
  words: number,
  low: number,
  high: number,
  lastMask: number,
): void {
  for (let w = 0; w < words; w++) {
    const before = w > 0 ? bits[at + w - 1] : 0;
    const here = bits[at + w];
    const after = w + 1 < words ? bits[at + w + 1] : 0;
    let word = 0;
    // Shifts are below 32: the radius is at most 8.
    for (let shift = low; shift <= high; shift++) {
      if (shift === 0) word |= here;
      else if (shift > 0) word |= (here >>> shift) | (after << (32 - shift));
      else word |= (here << -shift) | (before >>> (32 + shift));
    }
    spread[at + w] = word;
  }
  spread[at + words - 1] &= lastMask;
}
