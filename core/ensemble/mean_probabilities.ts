/**
 * The mean of several files' probabilities, block by block, to the last bit what numpy computes: the first file in float32, the others
 * added to it one after the other (a float64 file's numbers are added as such, and the sum rounded), then divided by their number.
 * Source: average_probabilities of nnunetv2/ensembling/ensemble.py.
 */
import { UserError } from "../base/errors.ts";
import { type Vec3, voxelCount } from "../base/shape.ts";
import type { NpyHeader } from "../formats/archive/npy_header.ts";
import { type NpzStream, openNpzStream, readNpzHeader } from "../formats/archive/npz_stream.ts";

export const READING = "reading the probabilities";
export const REMEDY = "predict the case again with --save_probabilities (after a training: train ... --val --npz)";

/** Elements of a channel that are read of every file before the next ones; blocks stay in a processor's cache. */
const BLOCK = 1 << 15;

/** The numbers of a block of a file. */
interface Block {
  /** To be filled from the file. */
  readonly bytes: Uint8Array;
  readonly bytesPerNumber: number;
  /** sums = numbers, as many as there are sums. */
  put(sums: Float32Array): void;
  /** sums = (sums + numbers) * factor, each sum rounded to float32. */
  add(sums: Float32Array, factor: number): void;
}

const BLOCKS: ReadonlyMap<string, () => Block> = new Map([
  ["<f2", float16Block],
  ["<f4", () => blockOf(new Float32Array(BLOCK), addFloat32)],
  ["<f8", () => blockOf(new Float64Array(BLOCK), addFloat64)],
]);

function blockOf<T extends Float32Array | Float64Array>(numbers: T, add: Add<T>): Block {
  return {
    bytes: new Uint8Array(numbers.buffer, 0, numbers.byteLength),
    bytesPerNumber: numbers.BYTES_PER_ELEMENT,
    put: (sums) => sums.set(numbers.subarray(0, sums.length)),
    add: (sums, factor) => add(sums, numbers, factor),
  };
}

type Add<T> = (sums: Float32Array, numbers: T, factor: number) => void;

// The same loop three times, so that each is compiled for one type.

function addFloat32(sums: Float32Array, numbers: Float32Array, factor: number): void {
  for (let i = 0; i < sums.length; i++) sums[i] = Math.fround(sums[i] + numbers[i]) * factor;
}

function addFloat64(sums: Float32Array, numbers: Float64Array, factor: number): void {
  for (let i = 0; i < sums.length; i++) sums[i] = Math.fround(sums[i] + numbers[i]) * factor;
}

/** By a table: the runtime's own conversion is at times a call for every number, which takes several times as long. */
function float16Block(): Block {
  const numbers = new Uint16Array(BLOCK);
  const values = float16Values ??= new Float32Array(
    new Float16Array(Uint16Array.from({ length: 2 ** 16 }, (_, i) => i).buffer),
  );
  return {
    bytes: new Uint8Array(numbers.buffer),
    bytesPerNumber: 2,
    put: (sums) => putLookedUp(sums, numbers, values),
    add: (sums, factor) => addLookedUp(sums, numbers, values, factor),
  };
}

/** All numbers of float16 in the order of their bits: a constant, made when it is first needed. */
let float16Values: Float32Array | undefined;

function putLookedUp(sums: Float32Array, numbers: Uint16Array, values: Float32Array): void {
  for (let i = 0; i < sums.length; i++) sums[i] = values[numbers[i]];
}

function addLookedUp(sums: Float32Array, numbers: Uint16Array, values: Float32Array, factor: number): void {
  for (let i = 0; i < sums.length; i++) sums[i] = Math.fround(sums[i] + values[numbers[i]]) * factor;
}

/** Bytes that averaging takes for a file: a block, a table, and pieces of the file on their way. */
export const BYTES_PER_FILE = 8 * BLOCK + 4 * 2 ** 16 + 8 * 2 ** 20;

export interface MeanBlock {
  readonly channel: number;
  /** Of the first number. */
  readonly voxel: number;
  /** Valid until the next block is asked for. */
  readonly means: Float32Array<ArrayBuffer>;
}

/** Files of one case that are open; disposing it closes them. */
export interface OpenedProbabilities extends AsyncDisposable {
  readonly channels: number;
  /** (z, y, x), as the image was read. */
  readonly shape: Vec3;
  /** All channels, voxel after voxel; to be asked for once. @throws UserError if a file is damaged */
  blocks(): AsyncGenerator<MeanBlock, void, void>;
}

/** The shape in a file's header. @throws UserError if the file is no npz of probabilities */
export async function probeProbabilities(file: string): Promise<{ readonly channels: number; readonly shape: Vec3 }> {
  return shapeOf(await readNpzHeader(file, "probabilities", { doing: READING, remedy: REMEDY }), file);
}

/**
 * Opens the files of a case.
 * @param channels As many as the labels of dataset.json make
 * @throws UserError if one is not there or cut off, is no probabilities of so many channels, or two differ in shape
 */
export async function openProbabilities(files: readonly string[], channels: number): Promise<OpenedProbabilities> {
  await using stack = new AsyncDisposableStack();
  const streams: NpzStream[] = [];
  for (const file of files) {
    streams.push(stack.use(await openNpzStream(file, "probabilities", { doing: READING, remedy: REMEDY })));
  }
  const shapes = streams.map(({ header, file }) => shapeOf(header, file));
  shapes.forEach((one, i) => {
    const file = files[i];
    if (one.channels !== channels) {
      throw new UserError({
        doing: READING,
        file,
        problem: `it has probabilities of ${one.channels} classes, and dataset.json makes ${channels}`,
        remedy: "it is another model's: give folders of models with the same labels",
      });
    }
    if (one.shape.join() !== shapes[0].shape.join()) {
      throw new UserError({
        doing: READING,
        file,
        problem: `its shape is ${one.shape.join(" x ")} (z, y, x), that of ${files[0]} is ${
          shapes[0].shape.join(" x ")
        }`,
        remedy: "it is of another image: give folders of predictions of the same images",
      });
    }
  });
  const opened = stack.move();
  return {
    ...shapes[0],
    blocks: () => blocks(streams, channels, voxelCount(shapes[0].shape)),
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

function shapeOf({ dtype, shape }: NpyHeader, file: string): { readonly channels: number; readonly shape: Vec3 } {
  const fail = (problem: string): never => {
    throw new UserError({ doing: READING, file, problem, remedy: REMEDY });
  };
  if (!BLOCKS.has(dtype)) {
    fail(`its probabilities are of the type ${dtype}; float16, float32 and float64 can be averaged`);
  }
  const [channels, z, y, x] = shape;
  if (shape.length !== 4 || shape.includes(0)) {
    fail(`its shape is ${shape.join(" x ") || "()"}; classes x z x y x x is needed`);
  }
  if (voxelCount([z, y, x]) >= 2 ** 32) fail(`it has ${z} x ${y} x ${x} voxels, more than can be worked on`);
  return { channels, shape: [z, y, x] };
}

async function* blocks(
  streams: readonly NpzStream[],
  channels: number,
  voxels: number,
): AsyncGenerator<MeanBlock, void, void> {
  const files = streams.map((stream) => ({ stream, block: (BLOCKS.get(stream.header.dtype) as () => Block)() }));
  const last = files.length - 1;
  // A product with a power of two is the quotient; otherwise it would be rounded once more.
  const factor = 1 / files.length;
  const isExact = Number.isInteger(Math.log2(files.length));
  const sums = new Float32Array(BLOCK);
  for (let channel = 0; channel < channels; channel++) {
    for (let voxel = 0; voxel < voxels; voxel += BLOCK) {
      const count = Math.min(BLOCK, voxels - voxel);
      const means = sums.subarray(0, count);
      for (const [i, { stream, block }] of files.entries()) {
        await stream.read(block.bytes.subarray(0, count * block.bytesPerNumber));
        if (i === 0) block.put(means);
        else block.add(means, i === last && isExact ? factor : 1);
      }
      if (!isExact) divide(means, files.length);
      yield { channel, voxel, means };
    }
  }
  for (const stream of streams) await stream.finish();
}

/** A float64 quotient of two float32 rounds to what the float32 division gives. */
function divide(sums: Float32Array, by: number): void {
  for (let i = 0; i < sums.length; i++) sums[i] /= by;
}
