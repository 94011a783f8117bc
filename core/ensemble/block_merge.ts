/** A block of a case's numbers and what is done to it, in the memory of a WebAssembly module of its own. */
import {
  ARRAYS,
  BLOCK,
  CHANGED,
  type MergeFunction,
  type MergeFunctions,
  mergeModule,
  NO_NUMBER,
} from "./merge_kernels.ts";

export { BLOCK };

/** Types of numbers that can be averaged, as npy headers name them, and their bytes. */
export const NUMBER_BYTES: ReadonlyMap<string, number> = new Map([["<f2", 2], ["<f4", 4], ["<f8", 8]]);

/** What {@link BlockMerge} did to the labels of a block. */
export interface Labelled {
  readonly changed: boolean;
  /** A mean is no number. */
  readonly noNumber: boolean;
}

/** Arrays and functions are of the first `count` elements, 1 to {@link BLOCK}; each file's numbers take the place of the last one's. */
export interface BlockMerge {
  readonly means: Float32Array<ArrayBuffer>;
  /** The highest mean of each voxel so far. */
  readonly best: Float32Array<ArrayBuffer>;
  readonly labels: { readonly 1: Uint8Array<ArrayBuffer>; readonly 2: Uint16Array<ArrayBuffer> };
  /** Where the bytes of the next file's numbers go. */
  numbersOf(dtype: string, count: number, file: number): Uint8Array<ArrayBuffer>;
  /** Adds them, rounded to float32 as each sum is kept; those of file 0 are the first. */
  add(dtype: string, count: number, file: number): void;
  divide(count: number, by: number): void;
  /** Where a mean is above the best, it becomes the best and `label` the voxel's. */
  raise(bytesPerLabel: 1 | 2, count: number, label: number): Labelled;
  /** Where a mean is above 1/2, `label` becomes the voxel's. */
  overwrite(bytesPerLabel: 1 | 2, count: number, label: number): Labelled;
}

export function createBlockMerge(): BlockMerge {
  const { memory, ...functions } = new WebAssembly.Instance(new WebAssembly.Module(mergeModule())).exports;
  const buffer = (memory as WebAssembly.Memory).buffer as ArrayBuffer;
  const run = functions as unknown as MergeFunctions;
  const means = new Float32Array(buffer, ARRAYS.means, BLOCK);
  const doubles = new Float64Array(buffer, ARRAYS.numbers, BLOCK);
  const label = (one: MergeFunction, two: MergeFunction) => (bytesPerLabel: 1 | 2, count: number, label: number) => {
    // What lies behind the block is of other voxels.
    means.fill(0, count, Math.ceil(count / 16) * 16);
    const result = (bytesPerLabel === 1 ? one : two)(count, label);
    return { changed: (result & CHANGED) !== 0, noNumber: (result & NO_NUMBER) !== 0 };
  };
  return {
    means,
    best: new Float32Array(buffer, ARRAYS.best, BLOCK),
    labels: { 1: new Uint8Array(buffer, ARRAYS.labels, BLOCK), 2: new Uint16Array(buffer, ARRAYS.labels, BLOCK) },
    numbersOf(dtype, count, file) {
      const bytes = count * (NUMBER_BYTES.get(dtype) ?? 0);
      // Float32 numbers that nothing is added to are their own sum.
      const array = file === 0 && dtype === "<f4" ? ARRAYS.means : ARRAYS.numbers;
      return new Uint8Array(buffer, array, bytes);
    },
    add(dtype, count, file) {
      if (dtype === "<f8") addDoubles(means, doubles, count, file);
      else if (dtype === "<f2") (file === 0 ? run.startHalf : run.addHalf)(count, 0);
      else if (file > 0) run.addSingle(count, 0);
    },
    divide: (count, by) => void (by === 2 ? run.halve : run.divide)(count, by),
    raise: label(run.raise8, run.raise16),
    overwrite: label(run.overwrite8, run.overwrite16),
  };
}

/** Rare, and fast enough. */
function addDoubles(means: Float32Array, doubles: Float64Array, count: number, file: number): void {
  if (file === 0) means.set(doubles.subarray(0, count));
  else for (let i = 0; i < count; i++) means[i] += doubles[i];
}
