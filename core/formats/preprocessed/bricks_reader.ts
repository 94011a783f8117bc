/** Reading boxes of a case in bricks (core/formats/preprocessed/bricks.ts): only the bricks that the box meets, each checked by its checksum. */
import { crc32 } from "node:zlib";
import { refuseSpecialFile } from "../../base/odd_file.ts";
import { readError } from "../../base/read_error.ts";
import { type Vec3, voxelCount } from "../../base/shape.ts";
import {
  brickPlace,
  type BricksHeader,
  type BricksLayout,
  bricksLayout,
  damagedBricks,
  parseBricksPreamble,
} from "./bricks.ts";
import { copyIntoBox, emptyBox } from "./training_box.ts";
import type { ClassLocations, StoredCase, TrainingBox } from "./training_data.ts";

/**
 * Opens a case in bricks. Reads are synchronous inside, so that several boxes may be asked for at a time.
 * @throws UserError if it is not there, cut off or damaged
 */
export function openBricks(path: string): StoredCase {
  const fail = (problem: string): never => {
    throw damagedBricks(path, problem);
  };
  let opened: Deno.FsFile | undefined;
  try {
    refuseSpecialFile(path, "reading the preprocessed case", "remove it and run preprocess again");
    const file = opened = Deno.openSync(path);
    const { size } = file.statSync();
    const readInto = (offset: number, bytes: Uint8Array): void => {
      file.seekSync(offset, Deno.SeekMode.Start);
      for (let at = 0; at < bytes.length;) {
        const got = file.readSync(bytes.subarray(at));
        if (!got) return fail("it is cut off");
        at += got;
      }
    };
    const more = (offset: number, length: number) => {
      if (offset + length > size) return fail("it is cut off");
      const bytes = new Uint8Array(length);
      readInto(offset, bytes);
      return bytes;
    };
    const { header, dataAt } = parseBricksPreamble(more, path);
    const layout = bricksLayout(header, dataAt);
    if (size !== layout.fileBytes) fail(`it has ${size} bytes, ${layout.fileBytes} are needed`);
    const table = new Uint32Array((layout.fileBytes - layout.checksumsAt) / 4);
    const tableBytes = new Uint8Array(table.buffer);
    readInto(layout.checksumsAt, tableBytes);
    if (crc32(tableBytes.subarray(0, -4)) !== table[table.length - 1]) fail("its table of checksums is damaged");
    const { geometry, shapeBeforeCropping, boundingBox, shapeAfterCropping } = header.properties;
    return {
      file: path,
      channels: header.channels,
      grid: header.grid,
      properties: { spacing: geometry.spacing, shapeBeforeCropping, boundingBox, shapeAfterCropping, geometry },
      classLocations: readLocations(header, layout, table, readInto, fail),
      readBox: boxReader(header, dataAt, layout, table, readInto, fail),
      [Symbol.dispose]: () => file.close(),
    };
  } catch (error) {
    opened?.close();
    throw readError(error, path, "reading the preprocessed case", "run preprocess again");
  }
}

type ReadInto = (offset: number, bytes: Uint8Array) => void;

function readLocations(
  { classLocations, grid }: BricksHeader,
  layout: BricksLayout,
  checksums: Uint32Array,
  readInto: ReadInto,
  fail: (problem: string) => never,
): readonly ClassLocations[] {
  let offset = layout.locationsAt;
  return classLocations.map(({ key, count }, i) => {
    const voxels = new Uint32Array(count);
    const bytes = new Uint8Array(voxels.buffer);
    readInto(offset, bytes);
    offset += bytes.length;
    if (crc32(bytes) !== checksums[voxelCount(layout.counts) + i]) fail("its class locations are damaged (checksum)");
    if (voxels.some((voxel) => voxel >= voxelCount(grid))) fail("its class locations lie outside the image");
    return { key, voxels };
  });
}

function boxReader(
  header: BricksHeader,
  dataAt: number,
  layout: BricksLayout,
  checksums: Uint32Array,
  readInto: ReadInto,
  fail: (problem: string) => never,
): StoredCase["readBox"] {
  const { channels, grid, brick } = header;
  const { counts, voxelBytes } = layout;
  // A brick's checksum is computed when it is read first.
  const checked = new Uint8Array(voxelCount(counts));
  // Grows to the largest brick only when one is read.
  let buffer = new ArrayBuffer(0);

  const readBrick = (bz: number, by: number, bx: number, box: TrainingBox, origin: Vec3, size: Vec3): void => {
    const place = brickPlace(header, bz, by, bx);
    const voxels = voxelCount(place.shape);
    if (buffer.byteLength === 0) buffer = new ArrayBuffer(Math.ceil(layout.brickBytes / 4) * 4);
    const bytes = new Uint8Array(buffer, 0, voxels * voxelBytes);
    readInto(dataAt + place.voxelsBefore * voxelBytes, bytes);
    const index = (bz * counts[1] + by) * counts[2] + bx;
    if (checked[index] === 0 && crc32(bytes) !== checksums[index]) fail(`brick ${index} is damaged (checksum)`);
    checked[index] = 1;
    const image = new Float32Array(buffer, 0, channels * voxels);
    const segmentation = header.segmentation === "int8"
      ? new Int8Array(buffer, 4 * channels * voxels, voxels)
      : new Int16Array(buffer, 4 * channels * voxels, voxels);
    copyIntoBox({ image, segmentation }, channels, place.origin, place.shape, box, origin, size);
  };

  // deno-lint-ignore require-await -- reading is synchronous today; callers are not to depend on it
  return async (origin, size) => {
    const box = emptyBox(channels, size, header.segmentation);
    const first = (axis: number) => Math.max(0, Math.floor(origin[axis] / brick[axis]));
    const last = (axis: number) => Math.floor((Math.min(origin[axis] + size[axis], grid[axis]) - 1) / brick[axis]);
    for (let bz = first(0); bz <= last(0); bz++) {
      for (let by = first(1); by <= last(1); by++) {
        for (let bx = first(2); bx <= last(2); bx++) readBrick(bz, by, bx, box, origin, size);
      }
    }
    return box;
  };
}
