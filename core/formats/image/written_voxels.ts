/**
 * Label volumes as the bytes of a file, from any order of the label array to the file's, piece by piece; and their packing.
 */
import zlib from "node:zlib";
import { Interrupted } from "../../base/errors.ts";
import { writeAll } from "../../base/files.ts";
import type { Vec3 } from "../../base/shape.ts";
import type { LabelVolume } from "./image.ts";
import { type LabelsToWrite, WRITING } from "./image_format.ts";

/** Deflate level: on label maps 4 takes about the time of 1 and half its bytes; 6 (of ITK's NIfTI) takes twice the time for 20 % less. */
const DEFLATE_LEVEL = 4;

/** Bytes that are packed and written at a time. */
const PIECE_BYTES = 1 << 20;

/** The file's voxel order: size (x, y, z), and where in the label array its first voxel and its neighbours are. */
export interface StoredOrder {
  readonly size: Vec3;
  readonly origin: number;
  readonly strides: Vec3;
}

/**
 * The file's voxels as bytes (little-endian), piece by piece; a piece is only valid until the next one is asked for.
 * @throws Interrupted
 */
export function* labelBytes(
  { labels: { data }, bytesPerLabel, signal }: LabelsToWrite,
  { size, origin, strides }: StoredOrder,
): Generator<Uint8Array, void, void> {
  const [nx, ny, nz] = size;
  const total = nx * ny * nz;
  const contiguous = strides[0] === 1 && strides[1] === nx && strides[2] === nx * ny;
  const perPiece = PIECE_BYTES / bytesPerLabel;
  for (let first = 0; first < total; first += perPiece) {
    if (signal?.aborted) throw new Interrupted(WRITING);
    const count = Math.min(perPiece, total - first);
    if (contiguous && bytesPerLabel === 1 && data instanceof Uint8Array) {
      yield data.subarray(first, first + count);
      continue;
    }
    // New memory for each piece: zlib may still be reading the last one.
    const values = bytesPerLabel === 1 ? new Uint8Array(count) : new Uint16Array(count);
    if (contiguous) values.set(data.subarray(first, first + count));
    else gather(data, values, first, size, origin, strides);
    yield new Uint8Array(values.buffer);
  }
}

/** Fills `values` with the file's voxels from the stored position `first` on. */
function gather(
  data: LabelVolume["data"],
  values: Uint8Array | Uint16Array,
  first: number,
  [nx, ny]: Vec3,
  origin: number,
  strides: Vec3,
): void {
  let x = first % nx;
  let row = (first - x) / nx;
  for (let i = 0; i < values.length; row++, x = 0) {
    const y = row % ny;
    let at = origin + x * strides[0] + y * strides[1] + ((row - y) / ny) * strides[2];
    const end = Math.min(values.length, i + nx - x);
    for (; i < end; i++, at += strides[0]) values[i] = data[at];
  }
}

/** Writes pieces into `out`, packed as gzip or zlib; gives how many packed bytes they became. `head` is packed before them. */
export async function writePacked(
  out: Deno.FsFile,
  kind: "gzip" | "zlib",
  pieces: Iterable<Uint8Array>,
  head?: Uint8Array,
): Promise<number> {
  const options = { level: DEFLATE_LEVEL, chunkSize: PIECE_BYTES };
  const packer = kind === "gzip" ? zlib.createGzip(options) : zlib.createDeflate(options);
  const feed = async () => {
    try {
      if (head) packer.write(head);
      for (const piece of pieces) {
        if (!packer.write(piece)) await new Promise<void>((resolve) => packer.once("drain", resolve));
      }
      packer.end();
    } catch (error) {
      packer.destroy(error instanceof Error ? error : new Error(String(error)));
    }
  };
  const feeding = feed();
  let bytes = 0;
  try {
    for await (const packed of packer) {
      await writeAll(out, packed as Uint8Array);
      bytes += (packed as Uint8Array).length;
    }
    return bytes;
  } finally {
    packer.destroy();
    packer.emit("drain");
    await feeding;
  }
}
