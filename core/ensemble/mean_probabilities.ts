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

/** The bytes of a block as they are read, and as numbers. */
interface Block {
  readonly bytes: Uint8Array;
  readonly numbers: Float16Array | Float32Array | Float64Array;
}

const BLOCKS: ReadonlyMap<string, () => Block> = new Map([
  ["<f2", () => blockOf(new Float16Array(BLOCK))],
  ["<f4", () => blockOf(new Float32Array(BLOCK))],
  ["<f8", () => blockOf(new Float64Array(BLOCK))],
]);

function blockOf(numbers: Block["numbers"]): Block {
  return { numbers, bytes: new Uint8Array(numbers.buffer, 0, numbers.byteLength) };
}

/** Bytes that {@link averageProbabilities} takes for a file: a block, and pieces of the file on their way. */
export const BYTES_PER_FILE = 8 * BLOCK + 8 * 2 ** 20;

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
  const header = await readNpzHeader(file, "probabilities", { doing: READING, remedy: REMEDY });
  return shapeOf(header, file);
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
  const buffers = streams.map(({ header: { dtype } }) => (BLOCKS.get(dtype) as () => Block)());
  const sums = new Float32Array(BLOCK);
  for (let channel = 0; channel < channels; channel++) {
    for (let voxel = 0; voxel < voxels; voxel += BLOCK) {
      const count = Math.min(BLOCK, voxels - voxel);
      const means = sums.subarray(0, count);
      for (const [i, stream] of streams.entries()) {
        const { numbers, bytes } = buffers[i];
        await stream.read(bytes.subarray(0, count * numbers.BYTES_PER_ELEMENT));
        const block = numbers.subarray(0, count);
        if (i === 0) means.set(block);
        else add(means, block);
      }
      if (streams.length > 1) divide(means, streams.length);
      yield { channel, voxel, means };
    }
  }
  for (const stream of streams) await stream.finish();
}

/** Rounded to float32 as each sum is kept. */
function add(sums: Float32Array, numbers: Block["numbers"]): void {
  if (numbers instanceof Float32Array) addFloat32(sums, numbers);
  else for (let i = 0; i < sums.length; i++) sums[i] += numbers[i];
}

/** Apart from the other types, so that it is compiled for one. */
function addFloat32(sums: Float32Array, numbers: Float32Array): void {
  for (let i = 0; i < sums.length; i++) sums[i] += numbers[i];
}

/** A float64 quotient of two float32 rounds to what the float32 division gives; by a power of two, so does the faster product. */
function divide(sums: Float32Array, by: number): void {
  const factor = 1 / by;
  if (Number.isInteger(Math.log2(by))) { for (let i = 0; i < sums.length; i++) sums[i] *= factor; }
  else for (let i = 0; i < sums.length; i++) sums[i] /= by;
}
