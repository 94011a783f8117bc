/**
 * The mean of several files' probabilities, block by block, to the last bit what numpy computes: the first file in float32, the others
 * added to it one after the other (a float64 file's numbers are added as such, and the sum rounded), then divided by their number.
 * Source: average_probabilities of nnunetv2/ensembling/ensemble.py.
 */
import { UserError } from "../base/errors.ts";
import { type Vec3, voxelCount } from "../base/shape.ts";
import type { NpyHeader } from "../formats/archive/npy_header.ts";
import { type NpzStream, openNpzStream, readNpzHeader } from "../formats/archive/npz_stream.ts";
import { inflateLanes } from "../formats/archive/inflate.ts";
import { BLOCK, type BlockMerge, NUMBER_BYTES } from "./block_merge.ts";

export const READING = "reading the probabilities";
export const REMEDY = "predict the case again with --save_probabilities (after a training: train ... --val --npz)";

/** Bytes that averaging takes for a file: pieces of it on their way. */
export const BYTES_PER_FILE = 8 * 2 ** 20;

/** A part of a channel whose means are in the {@link BlockMerge}, until the next one is asked for. */
export interface MeanBlock {
  readonly channel: number;
  /** The first. */
  readonly voxel: number;
  readonly count: number;
}

/** Files of one case that are open; disposing it closes them. */
export interface OpenedProbabilities extends AsyncDisposable {
  readonly channels: number;
  /** (z, y, x), as the image was read. */
  readonly shape: Vec3;
  /** All channels, voxel after voxel, averaged in `merge`; to be asked for once. @throws UserError if a file is damaged */
  blocks(merge: BlockMerge): AsyncGenerator<MeanBlock, void, void>;
  /** Reads on to the files' ends. @throws UserError if a file is damaged: then its numbers are none that were packed */
  requireWhole(): Promise<void>;
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
  const options = { doing: READING, remedy: REMEDY, nextLane: inflateLanes() };
  for (const file of files) streams.push(stack.use(await openNpzStream(file, "probabilities", options)));
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
  const requireWhole = async () => {
    for (const stream of streams) await stream.finish();
  };
  return {
    ...shapes[0],
    async *blocks(merge) {
      yield* blocks(merge, streams, channels, voxelCount(shapes[0].shape));
      await requireWhole();
    },
    requireWhole,
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

function shapeOf({ dtype, shape }: NpyHeader, file: string): { readonly channels: number; readonly shape: Vec3 } {
  const fail = (problem: string): never => {
    throw new UserError({ doing: READING, file, problem, remedy: REMEDY });
  };
  if (!NUMBER_BYTES.has(dtype)) {
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
  merge: BlockMerge,
  streams: readonly NpzStream[],
  channels: number,
  voxels: number,
): AsyncGenerator<MeanBlock, void, void> {
  for (let channel = 0; channel < channels; channel++) {
    for (let voxel = 0; voxel < voxels; voxel += BLOCK) {
      const count = Math.min(BLOCK, voxels - voxel);
      for (const [i, { header: { dtype }, read }] of streams.entries()) {
        await read(merge.numbersOf(dtype, count, i));
        merge.add(dtype, count, i);
      }
      if (streams.length > 1) merge.divide(count, streams.length);
      yield { channel, voxel, count };
    }
  }
}
