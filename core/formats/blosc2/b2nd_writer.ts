/** Writing a .b2nd file, which blosc2 2.0 and later reads: chunk by chunk, so that no second copy of the array is held. */
import { writeAll, writeAtomically } from "../../base/files.ts";
import type { B2ndData } from "./b2nd_file.ts";
import { packChunk, rawChunk } from "./chunk_writer.ts";
import { B2ND_TYPES, type B2ndHeader, type FrameLayout, layoutOf } from "./frame.ts";
import { frameHeader, frameTrailer, headerBytesOf } from "./frame_writer.ts";
import { asIntegers, copyBlock, forEachTile } from "./tiles.ts";

export interface WriteB2ndOptions {
  /** What is being done, for errors. */
  readonly doing: string;
  readonly signal?: AbortSignal;
}

/**
 * Writes an array, whole or not at all.
 * @param data Of the header's type and shape, in C order
 * @throws UserError if it can't be written. Interrupted if the signal aborts
 */
export async function writeB2nd(
  path: string,
  header: B2ndHeader,
  data: B2ndData,
  options: WriteB2ndOptions,
): Promise<void> {
  const impossible = (problem: string): never => {
    throw new RangeError(`writing ${path}: ${problem}`);
  };
  const layout = layoutOf(header, { headerBytes: headerBytesOf(header), frameBytes: 0, dataBytes: 0 }, impossible);
  await writeAtomically(path, async (file) => {
    const { chunkCount, headerBytes } = layout;
    // Its lengths are known when all else is written.
    await writeAll(file, new Uint8Array(headerBytes));
    const shuffled = isBetterShuffled(header, layout, data);
    const offsets = new BigInt64Array(chunkCount);
    let dataBytes = 0;
    for (const [i, parts] of packedChunks(header, layout, data, shuffled)) {
      offsets[i] = BigInt(dataBytes);
      for (const part of parts) {
        await writeAll(file, part);
        dataBytes += part.length;
      }
    }
    const index = new Uint8Array(offsets.buffer);
    let frameBytes = headerBytes + dataBytes;
    for (const part of [...rawChunk(index, index.length, 8), frameTrailer()]) {
      await writeAll(file, part);
      frameBytes += part.length;
    }
    await file.seek(0, Deno.SeekMode.Start);
    await writeAll(file, frameHeader(header, { ...layout, dataBytes, frameBytes }, shuffled));
  }, { ...options, bytes: data.byteLength });
}

function* packedChunks(
  header: B2ndHeader,
  layout: FrameLayout,
  data: B2ndData,
  shuffled: boolean,
): Generator<readonly [index: number, parts: readonly Uint8Array[]]> {
  const { dtype, shape, chunk } = header;
  const { blockBytes, chunkBytes } = layout;
  const [blocks, room] = [new Uint8Array(chunkBytes), new Uint8Array(blockBytes)];
  const places: (readonly number[])[] = [];
  forEachTile(shape.map(() => 0), shape, chunk, (at) => places.push([...at]));
  for (const [i, at] of places.entries()) {
    gatherChunk(header, layout, data, at, blocks);
    yield [i, packChunk(blocks, blockBytes, B2ND_TYPES[dtype], shuffled, room)];
  }
}

/** The blocks of the chunk at `chunkAt`, one after the other; zeros behind the array's end and the chunk's. */
function gatherChunk(
  { dtype, shape, chunk, block }: B2ndHeader,
  { blockBytes }: FrameLayout,
  data: B2ndData,
  chunkAt: readonly number[],
  blocks: Uint8Array,
): void {
  const typeBytes = B2ND_TYPES[dtype];
  const values = asIntegers(data, typeBytes);
  const zeros = shape.map(() => 0);
  blocks.fill(0);
  let offset = 0;
  forEachTile(zeros, chunk, block, (blockAt) => {
    const into = asIntegers(blocks.subarray(offset, offset + blockBytes), typeBytes);
    offset += blockBytes;
    const ends = shape.map((length, axis) => Math.min(length, (chunkAt[axis] + 1) * chunk[axis]));
    const origin = blockAt.map((at, axis) => chunkAt[axis] * chunk[axis] + at * block[axis]);
    const end = origin.map((at, axis) => Math.min(at + block[axis], ends[axis]));
    if (end.every((one, axis) => one > origin[axis])) {
      copyBlock(values, shape, zeros, end, origin, into, origin, block);
    }
  });
}

/** Resampled images get shorter shuffled, others as they are: tried on the chunk in the middle, as upstream does. */
function isBetterShuffled(header: B2ndHeader, layout: FrameLayout, data: B2ndData): boolean {
  const { blockBytes, chunkBytes, chunks } = layout;
  const typeBytes = B2ND_TYPES[header.dtype];
  if (typeBytes === 1) return false;
  const [blocks, room] = [new Uint8Array(chunkBytes), new Uint8Array(blockBytes)];
  gatherChunk(header, layout, data, chunks.map((count) => count >> 1), blocks);
  const [plain, shuffled] = [false, true].map((one) =>
    packChunk(blocks, blockBytes, typeBytes, one, room).reduce((sum, part) => sum + part.length, 0)
  );
  return shuffled < plain;
}
