/**
 * Probabilities on their way to <case>.npz: a raw f32 file (channels, then the file's axis order) that planes are written into as
 * they become final. Outside the bounding box the first softmax channel is 1 and all else 0, as upstream's
 * revert_cropping_on_probabilities (nnunetv2/utilities/label_handling/label_handling.py) leaves it.
 */
import { describeBytes } from "../../base/describe_bytes.ts";
import { UserError } from "../../base/errors.ts";
import { freeBytes } from "../../base/files.ts";
import { createScratch, type HiddenFile, shortened } from "../../base/leftovers.ts";
import { type Vec3, voxelCount } from "../../base/shape.ts";
import type { ExportGeometry } from "../../preprocess/undo.ts";
import { scratchError } from "./scratch_file.ts";

/** A raw file of probabilities that is being filled; disposing it closes and removes it. */
export interface ProbabilityFile extends Disposable {
  readonly path: string;
  /** (channels, z, y, x) in the file's axis order. */
  readonly shape: readonly [number, number, number, number];
  /** Planes [from, to) along axes[0] of the cropped grid, each (channels, rows, columns) along axes[1], axes[2]. */
  writePlanes(axes: Vec3, from: number, to: number, data: Float32Array): void;
  /** Logits of one channel on the whole cropped grid, transposed axes; {@link applyNonlinearity} follows when all are there. */
  writeLogits(channel: number, grid: Vec3, logits: Float32Array): void;
  applyNonlinearity(kind: "softmax" | "sigmoid"): void;
  /** Closes the file and leaves it, for whoever packs it; dispose removes it still. */
  finish(): void;
}

export interface ProbabilityFileOptions {
  readonly caseId: string;
  /** Where it is made, under a hidden name. */
  readonly folder: string;
  readonly channels: number;
  readonly geometry: ExportGeometry;
  /** Which transposed axis each axis of the file is. */
  readonly transposeBackward: Vec3;
  /** Cropped grid, transposed axes. */
  readonly grid: Vec3;
  readonly nonlinearity: "softmax" | "sigmoid";
}

/** Elements that the file is filled and normalised by at a time. */
const BLOCK = 1 << 18;

/**
 * Makes the file at its full size.
 * @throws UserError if the disk has no room for it and the npz made from it.
 */
export function createProbabilityFile(options: ProbabilityFileOptions): ProbabilityFile {
  const { caseId, folder, channels, geometry, grid, nonlinearity } = options;
  const voxels = voxelCount(geometry.fileShape);
  const bytes = 4 * channels * voxels;
  checkRoom(options, 2 * bytes);
  const failed = (error: unknown, file: string) =>
    scratchError(error, file, {
      doing: "writing probabilities",
      caseId,
      remedy: `${describeBytes(2 * bytes)} are needed there while the case is being written`,
    });
  let made: HiddenFile;
  try {
    made = createScratch(folder, `${shortened(caseId)}-`, "probabilities");
  } catch (error) {
    throw failed(error, folder);
  }
  const { file, path } = made;
  // What is left open and on a full disk would be there as long as a service runs.
  const discard = (error: unknown) => {
    file.close();
    try {
      Deno.removeSync(path);
    } catch {
      // What went wrong first matters more.
    }
    return error;
  };
  try {
    file.truncateSync(bytes);
  } catch (error) {
    throw discard(failed(error, path));
  }
  let open = true;
  const transfer = (element: number, data: Float32Array, step: (rest: Uint8Array) => number | null): void => {
    try {
      const view = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      file.seekSync(4 * element, Deno.SeekMode.Start);
      for (let done = 0; done < view.length;) {
        const count = step(view.subarray(done));
        if (!count) throw new Error("the file ends early");
        done += count;
      }
    } catch (error) {
      throw failed(error, path);
    }
  };
  const write = (element: number, data: Float32Array) => transfer(element, data, (rest) => file.writeSync(rest));
  const read = (element: number, data: Float32Array) => transfer(element, data, (rest) => file.readSync(rest));
  const outsideIsOne = nonlinearity === "softmax" && voxelCount(grid) < voxels;
  if (outsideIsOne) {
    const ones = new Float32Array(Math.min(BLOCK, voxels)).fill(1);
    try {
      for (let at = 0; at < voxels; at += BLOCK) write(at, ones.subarray(0, Math.min(BLOCK, voxels - at)));
    } catch (error) {
      throw discard(error);
    }
  }
  const close = () => {
    if (open) file.close();
    open = false;
  };
  return {
    path,
    shape: [channels, ...geometry.fileShape],
    writePlanes: (axes, from, to, data) => writePlanes({ ...options, axes, from, to, data, write }),
    writeLogits(channel, cropped, logits) {
      // What gives 0 and 1 outside the bounding box when the nonlinearity is applied everywhere.
      const volume = new Float32Array(voxels).fill(channel === 0 && nonlinearity === "softmax" ? 0 : -Infinity);
      scatter(volume, geometry, cropped, logits);
      write(channel * voxels, volume);
    },
    applyNonlinearity(kind) {
      const block = Math.max(1, Math.floor(BLOCK / channels));
      for (let at = 0; at < voxels; at += block) {
        const count = Math.min(block, voxels - at);
        const values = new Float32Array(channels * count);
        for (let c = 0; c < channels; c++) read(c * voxels + at, values.subarray(c * count, (c + 1) * count));
        if (kind === "softmax") softmaxColumns(values, channels, count);
        else for (let i = 0; i < values.length; i++) values[i] = 1 / (1 + Math.exp(-values[i]));
        for (let c = 0; c < channels; c++) write(c * voxels + at, values.subarray(c * count, (c + 1) * count));
      }
    },
    // Windows lets nobody else read what is locked.
    finish: () => Deno.build.os === "windows" ? close() : undefined,
    [Symbol.dispose]() {
      close();
      try {
        Deno.removeSync(path);
      } catch {
        // It has been removed by whoever packed it.
      }
    },
  };
}

function checkRoom({ caseId, folder }: ProbabilityFileOptions, needed: number): void {
  const free = freeBytes(folder);
  if (free === null || free >= needed) return; // Not every file system says; writing will.
  throw new UserError({
    doing: "making room for probabilities",
    caseId,
    file: folder,
    problem: `${describeBytes(free)} are free and up to ${describeBytes(needed)} are needed ` +
      "(the raw array and the .npz made from it)",
    remedy: "free space there, write to another disk, or leave --save_probabilities out",
  });
}

interface PlaneWrite extends ProbabilityFileOptions {
  readonly axes: Vec3;
  readonly from: number;
  readonly to: number;
  readonly data: Float32Array;
  readonly write: (element: number, data: Float32Array) => void;
}

/** Writes the longest contiguous pieces of the file that the planes fill, outside values included. */
function writePlanes(of: PlaneWrite): void {
  const { axes, from, to, data, channels, geometry, grid, nonlinearity, write } = of;
  const { fileShape, offset } = geometry;
  const strides = axes.map((axis) => geometry.strides[axis]);
  const [rows, columns] = [grid[axes[1]], grid[axes[2]]];
  const voxels = voxelCount(fileShape);
  const fileRow = fileShape[2];
  const fileSlice = fileShape[1] * fileRow;
  const fileAxes = axes.map((axis) => of.transposeBackward.indexOf(axis));
  if (fileAxes[0] === 2) throw new Error("Writing probabilities: planes across the file's innermost axis");
  const firstRow = Math.floor(offset / fileRow) * fileRow;
  const firstSlice = Math.floor(offset / fileSlice) * fileSlice;
  for (let channel = 0; channel < channels; channel++) {
    const outside = channel === 0 && nonlinearity === "softmax" ? 1 : 0;
    if (fileAxes[0] === 0) {
      const piece = new Float32Array(fileSlice);
      for (let plane = from; plane < to; plane++) {
        piece.fill(outside);
        const start = offset - firstSlice;
        const at = ((plane - from) * channels + channel) * rows * columns;
        for (let row = 0; row < rows; row++) {
          for (let column = 0; column < columns; column++) {
            piece[start + row * strides[1] + column * strides[2]] = data[at + row * columns + column];
          }
        }
        write(channel * voxels + firstSlice + plane * fileSlice, piece);
      }
      continue;
    }
    // Planes run along the file's middle axis: one piece of (to - from) file rows for each slice.
    const [outer, inner] = fileAxes[1] === 0 ? [1, 2] : [2, 1];
    const outerCount = outer === 1 ? rows : columns;
    const innerCount = inner === 1 ? rows : columns;
    const [outerStep, innerStep] = outer === 1 ? [columns, 1] : [1, columns];
    const piece = new Float32Array((to - from) * fileRow);
    for (let slice = 0; slice < outerCount; slice++) {
      piece.fill(outside);
      for (let plane = from; plane < to; plane++) {
        const at = ((plane - from) * channels + channel) * rows * columns + slice * outerStep;
        const start = (plane - from) * fileRow + (offset - firstRow);
        for (let i = 0; i < innerCount; i++) piece[start + i] = data[at + i * innerStep];
      }
      write(channel * voxels + firstRow + slice * strides[outer] + from * fileRow, piece);
    }
  }
}

function scatter(volume: Float32Array, { offset, strides }: ExportGeometry, grid: Vec3, values: Float32Array): void {
  let at = 0;
  for (let z = 0; z < grid[0]; z++) {
    for (let y = 0; y < grid[1]; y++) {
      const start = offset + z * strides[0] + y * strides[1];
      for (let x = 0; x < grid[2]; x++) volume[start + x * strides[2]] = values[at++];
    }
  }
}

/** Softmax over channels of (channels, count), in place. */
function softmaxColumns(values: Float32Array, channels: number, count: number): void {
  for (let i = 0; i < count; i++) {
    let largest = -Infinity;
    for (let c = 0; c < channels; c++) largest = Math.max(largest, values[c * count + i]);
    let sum = 0;
    for (let c = 0; c < channels; c++) sum += values[c * count + i] = Math.exp(values[c * count + i] - largest);
    for (let c = 0; c < channels; c++) values[c * count + i] /= sum;
  }
}
