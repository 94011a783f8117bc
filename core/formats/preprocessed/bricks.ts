/**
 * A preprocessed case in one file, in bricks: boxes of the grid that hold all image channels and the segmentation, so that training
 * reads a patch with a few reads. Nothing is compressed. Little-endian, in this order:
 *
 *     "NNBRICK1"                      8 bytes
 *     bytes of the header, its CRC-32 2 x uint32
 *     header                          JSON: {@link BricksHeader}
 *     bricks                          in C order of their place; each: channels x (z, y, x) float32, then (z, y, x) int8 or int16
 *     class locations                 one array of uint32 after the other: indices of voxels in the grid, C order
 *     checksums                       uint32 CRC-32 of each brick, of each array of class locations, and of this table before it
 *
 * A brick has `brick` voxels along each axis, and what is left at the grid's end; so its offset follows from its place alone.
 */
import { crc32 } from "node:zlib";
import { z } from "zod";
import { UserError } from "../../base/errors.ts";
import { checkFields } from "../../base/fields.ts";
import { writeAll, writeAtomically } from "../../base/files.ts";
import { type Vec3, voxelCount } from "../../base/shape.ts";
import { CLASS_KEY, GRID, PROPERTIES } from "./stored_properties.ts";
import type { ClassKey, TrainingData, TrainingProperties } from "./training_data.ts";

export const BRICKS_ENDING = ".bricks";
const MAGIC = "NNBRICK1";
const READING = "reading the preprocessed case";
const REMEDY = "remove the file and run preprocess again";
/** Voxels along an axis of a brick, about; in 2-D configurations bricks are flat. */
const EDGE_3D = 64;
const EDGE_2D = 512;

const HEADER = z.object({
  channels: z.int().min(1).max(2 ** 16),
  grid: GRID,
  brick: GRID,
  segmentation: z.enum(["int8", "int16"]),
  classLocations: z.array(z.object({ key: CLASS_KEY, count: z.int().min(0).max(2 ** 32) })),
  properties: PROPERTIES,
}).refine(({ grid, brick }) => brick.every((size, axis) => size <= grid[axis]), "its bricks are larger than its grid");

export interface BricksHeader {
  readonly channels: number;
  readonly grid: Vec3;
  readonly brick: Vec3;
  readonly segmentation: "int8" | "int16";
  readonly classLocations: readonly { readonly key: ClassKey; readonly count: number }[];
  readonly properties: TrainingProperties;
}

/** Bricks of equal size, as near to the usual edge as the grid allows. */
export function brickShape(grid: Vec3, dimensions: 2 | 3): Vec3 {
  const even = (size: number, edge: number) => Math.ceil(size / Math.ceil(size / edge));
  if (dimensions === 2) return [1, even(grid[1], EDGE_2D), even(grid[2], EDGE_2D)];
  return [even(grid[0], EDGE_3D), even(grid[1], EDGE_3D), even(grid[2], EDGE_3D)];
}

/** Where things are in the file. */
export interface BricksLayout {
  /** Bricks along each axis. */
  readonly counts: Vec3;
  readonly voxelBytes: number;
  /** Of the largest brick. */
  readonly brickBytes: number;
  readonly locationsAt: number;
  readonly checksumsAt: number;
  readonly fileBytes: number;
}

/** @param dataAt Offset of the first brick */
export function bricksLayout(header: BricksHeader, dataAt: number): BricksLayout {
  const { grid, brick, channels } = header;
  const counts: Vec3 = [
    Math.ceil(grid[0] / brick[0]),
    Math.ceil(grid[1] / brick[1]),
    Math.ceil(grid[2] / brick[2]),
  ];
  const voxelBytes = 4 * channels + (header.segmentation === "int8" ? 1 : 2);
  const locationsAt = dataAt + voxelCount(grid) * voxelBytes;
  const locations = header.classLocations.reduce((sum, { count }) => sum + count, 0);
  const checksumsAt = locationsAt + 4 * locations;
  const checksums = voxelCount(counts) + header.classLocations.length + 1;
  return {
    counts,
    voxelBytes,
    brickBytes: voxelCount(brick) * voxelBytes,
    locationsAt,
    checksumsAt,
    fileBytes: checksumsAt + 4 * checksums,
  };
}

export interface BrickPlace {
  readonly origin: Vec3;
  readonly shape: Vec3;
  /** Voxels of the bricks before it. */
  readonly voxelsBefore: number;
}

/** The brick at (bz, by, bx). */
export function brickPlace({ grid, brick }: BricksHeader, bz: number, by: number, bx: number): BrickPlace {
  const origin: Vec3 = [bz * brick[0], by * brick[1], bx * brick[2]];
  const shape: Vec3 = [
    Math.min(brick[0], grid[0] - origin[0]),
    Math.min(brick[1], grid[1] - origin[1]),
    Math.min(brick[2], grid[2] - origin[2]),
  ];
  const voxelsBefore = origin[0] * grid[1] * grid[2] + shape[0] * (origin[1] * grid[2] + shape[1] * origin[2]);
  return { origin, shape, voxelsBefore };
}

/** The bytes before the bricks. */
export function bricksPreamble(header: BricksHeader): Uint8Array {
  const text = new TextEncoder().encode(JSON.stringify(header));
  const bytes = new Uint8Array(16 + text.length);
  bytes.set(new TextEncoder().encode(MAGIC));
  const view = new DataView(bytes.buffer);
  view.setUint32(8, text.length, true);
  view.setUint32(12, crc32(text), true);
  bytes.set(text, 16);
  return bytes;
}

/**
 * Header and offset of the first brick, of a file's start.
 * @param more Reads `bytes` from `offset` on, and fails where the file does not have them
 * @throws UserError if the header is damaged, or describes no case
 */
export function parseBricksPreamble(
  more: (offset: number, bytes: number) => Uint8Array,
  file: string,
): { readonly header: BricksHeader; readonly dataAt: number } {
  const start = more(0, 16);
  if (new TextDecoder().decode(start.subarray(0, 8)) !== MAGIC) {
    throw damagedBricks(file, "it is no file of bricks of this version");
  }
  const view = new DataView(start.buffer, start.byteOffset, 16);
  const length = view.getUint32(8, true);
  const text = more(16, length);
  if (crc32(text) !== view.getUint32(12, true)) throw damagedBricks(file, "its header is damaged (checksum)");
  const context = { doing: READING, file, path: ["header"], remedy: REMEDY };
  const header = checkFields(HEADER, parseBricksJson(new TextDecoder().decode(text), file), context);
  return { header, dataAt: 16 + length };
}

function parseBricksJson(text: string, file: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw damagedBricks(file, "its header is damaged (no JSON)");
  }
}

/**
 * Writes a case, whole or not at all.
 * @returns bytes of the file
 * @throws UserError if it can't be written
 */
export async function writeBricks(path: string, data: TrainingData, dimensions: 2 | 3): Promise<number> {
  const { channels, grid, segmentation, classLocations, properties } = data;
  const header: BricksHeader = {
    channels,
    grid,
    brick: brickShape(grid, dimensions),
    segmentation: segmentation instanceof Int8Array ? "int8" : "int16",
    classLocations: classLocations.map(({ key, voxels }) => ({ key, count: voxels.length })),
    properties,
  };
  const preamble = bricksPreamble(header);
  const layout = bricksLayout(header, preamble.length);
  const checksums: number[] = [];
  const write = async (file: Deno.FsFile) => {
    await writeAll(file, preamble);
    const buffer = new ArrayBuffer(Math.ceil(layout.brickBytes / 4) * 4);
    const [nz, ny, nx] = layout.counts;
    for (let bz = 0; bz < nz; bz++) {
      for (let by = 0; by < ny; by++) {
        for (let bx = 0; bx < nx; bx++) {
          const bytes = packBrick(buffer, data, brickPlace(header, bz, by, bx));
          checksums.push(crc32(bytes));
          await writeAll(file, bytes);
        }
      }
    }
    for (const { voxels } of classLocations) {
      const bytes = new Uint8Array(voxels.buffer, voxels.byteOffset, voxels.byteLength);
      checksums.push(crc32(bytes));
      await writeAll(file, bytes);
    }
    const table = Uint32Array.from([...checksums, 0]);
    const bytes = new Uint8Array(table.buffer);
    table[table.length - 1] = crc32(bytes.subarray(0, bytes.length - 4));
    await writeAll(file, bytes);
  };
  await writeAtomically(path, write, { doing: "writing the preprocessed case", bytes: layout.fileBytes });
  return layout.fileBytes;
}

function packBrick(buffer: ArrayBuffer, data: TrainingData, { origin, shape }: BrickPlace): Uint8Array<ArrayBuffer> {
  const { channels, grid, image, segmentation } = data;
  const voxels = voxelCount(shape);
  const images = new Float32Array(buffer, 0, channels * voxels);
  const segmentations = segmentation instanceof Int8Array
    ? new Int8Array(buffer, 4 * channels * voxels, voxels)
    : new Int16Array(buffer, 4 * channels * voxels, voxels);
  const volume = voxelCount(grid);
  let at = 0;
  for (let z = 0; z < shape[0]; z++) {
    for (let y = 0; y < shape[1]; y++, at += shape[2]) {
      const from = ((origin[0] + z) * grid[1] + origin[1] + y) * grid[2] + origin[2];
      for (let c = 0; c < channels; c++) {
        images.set(image.subarray(c * volume + from, c * volume + from + shape[2]), c * voxels + at);
      }
      segmentations.set(segmentation.subarray(from, from + shape[2]), at);
    }
  }
  return new Uint8Array(buffer, 0, 4 * channels * voxels + segmentations.byteLength);
}

/** The error about a damaged file of bricks. */
export function damagedBricks(file: string, problem: string): UserError {
  return new UserError({
    doing: READING,
    file,
    problem,
    remedy: REMEDY,
  });
}
