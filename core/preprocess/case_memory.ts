/**
 * What reading and preprocessing a case take in memory, from sizes alone: of headers before anything is read, and exactly once the
 * region that holds the image is known. The phases are those of preprocess_case.ts.
 */
import { UserError } from "../base/errors.ts";
import { type MemoryAllowance, requireRoom } from "../base/memory_allowance.ts";
import { equalVec3, permute, type Vec3, voxelCount } from "../base/shape.ts";
import { type CaseHeaders, MOST_NUMBERS } from "../formats/image/read_image.ts";
import { READING } from "../formats/image/image_format.ts";
import type { Configuration, Plans } from "../plan/plans.ts";
import type { ResamplePlan } from "./resample_plan.ts";
import { resampledShape, separateZAxis } from "./separate_z.ts";

/** Voxels along an axis; slides and streets have some 10^5. */
const LONGEST_AXIS = 2 ** 20;
/** Row and plane buffers, tables, and what a thread has left to the collector. */
const SMALL_BYTES = 8 * 2 ** 20;

/** A case on its way to the network's grid. */
export interface CaseGrids {
  readonly channels: number;
  /** The image as read, in any axis order. */
  readonly file: Vec3;
  /** What is left after cropping, axes transposed. */
  readonly cropped: Vec3;
  /** mm, transposed axes. */
  readonly spacing: Vec3;
  readonly grid: Vec3;
  /** mm; of 2-D configurations with the case's own distance between slices. */
  readonly target: Vec3;
}

/** How it goes there. */
export interface CaseWork {
  /** A segmentation goes the same way: the previous stage's, or the truth. */
  readonly labelled: boolean;
  /** Inside and outside are told apart. */
  readonly masked: boolean;
  /** The image's array is working memory, and is given back before the segmentation is resampled. */
  readonly overwrites: boolean;
  /** Axes are kept, so that with `overwrites` a channel is cropped where it is. */
  readonly inPlace: boolean;
  /** Voxels are replaced in a copy of the image. */
  readonly copies: boolean;
}

/** Bytes while the files are read: image, then segmentation, which is read as an image. */
export function readingBytes(image: CaseHeaders, labelled: boolean): number {
  const voxels = voxelCount(image.geometry.shape);
  return 4 * image.channels * voxels + image.bufferBytes + (labelled ? 6 * voxels + image.bufferBytes : 0);
}

/** Refuses files that are larger than there is room for when they are read. @throws UserError */
export function requireReading(image: CaseHeaders, labelled: boolean, memory: MemoryAllowance | undefined): void {
  const { channels, geometry: { shape } } = image;
  const size = `${channels > 1 ? `${channels} channels of ` : ""}${shown(shape)}`;
  const needs = `reading its ${size} voxels${labelled ? " and their segmentation" : ""} takes`;
  requireRoom(memory, readingBytes(image, labelled), needs, { doing: READING });
}

/** The most bytes while a case is preprocessed, the image as read included. */
export function preprocessingBytes(
  { channels, file, cropped, grid, spacing, target }: CaseGrids,
  work: CaseWork,
  { resamplingData, resamplingSeg }: Pick<Configuration, "resamplingData" | "resamplingSeg">,
): number {
  const [read, inside, made] = [voxelCount(file), voxelCount(cropped), voxelCount(grid)];
  const plan = { currentSpacing: spacing, newSpacing: target };
  const resamples = !equalVec3(cropped, grid);
  const image = 4 * channels * read * (work.copies ? 2 : 1);
  const labels = work.labelled ? 2 * read : 0;
  const box = (work.masked || work.labelled ? 2 * inside : 0) + (work.labelled ? 2 * inside : 0);
  const whole = work.overwrites && work.inPlace && !resamples && inside === read;
  const result = whole ? 0 : 4 * channels * made;
  const own = resamples && !(work.overwrites && work.inPlace) ? 4 * inside : 0;
  const images = image + labels + box + result + own +
    (resamples ? resamplingBytes(cropped, grid, { resampling: resamplingData, ...plan }, 4) : 0);
  if (!work.labelled) return SMALL_BYTES + images;
  const kept = work.overwrites ? (whole ? 4 * channels * read : 0) : image + labels;
  const segmentation = kept + result + 2 * inside +
    (resamples ? 2 * made + resamplingBytes(cropped, grid, { resampling: resamplingSeg, ...plan }, 2) : 0);
  return SMALL_BYTES + Math.max(images, segmentation);
}

/** Between input and output of a resampling there may be a volume that has been resampled along some axes only. */
function resamplingBytes(from: Vec3, to: Vec3, plan: ResamplePlan, bytesPerVoxel: number): number {
  const { resampling } = plan;
  const axis = separateZAxis(resampling, plan.currentSpacing, plan.newSpacing);
  if (axis !== null) {
    if (resampling.kind !== "spline" || resampling.orderZ === 0) return 0;
    return bytesPerVoxel * voxelCount(to) / to[axis] * from[axis];
  }
  const shrinks = from[0] > to[0] && from[1] * from[2] > to[1] * to[2];
  return bytesPerVoxel === 4 && shrinks ? 4 * from[0] * to[1] * to[2] : 0;
}

/**
 * Of a training case: its segmentation in one byte instead of two, and the places of the classes' voxels.
 * @param foreground Share of the cropped image's voxels that have a label
 */
export function trainingCaseBytes(grids: CaseGrids, overwrites: boolean, foreground: number): number {
  const made = voxelCount(grids.grid);
  const image = overwrites ? 0 : (4 * grids.channels + 2) * voxelCount(grids.file);
  return SMALL_BYTES + image + (4 * grids.channels + 3 + 4 * foreground) * made;
}

/** The grids of a case of which only the headers are known: as if nothing were cropped away. */
export function largestGrids(image: CaseHeaders, plans: Plans, configuration: Configuration): CaseGrids {
  const cropped = permute(image.geometry.shape, plans.transposeForward);
  const spacing = permute(image.geometry.spacing, plans.transposeForward);
  const { channels, geometry: { shape: file } } = image;
  return { channels, file, cropped, spacing, ...targetGrid(cropped, spacing, configuration) };
}

/** Grid and spacing of the network's input. 2-D configurations keep the case's own distance between slices. */
export function targetGrid(
  cropped: Vec3,
  spacing: Vec3,
  { spacing: planned, resamplingData }: Pick<Configuration, "spacing" | "resamplingData">,
): { readonly grid: Vec3; readonly target: Vec3 } {
  const target: Vec3 = planned.length === 2
    ? [spacing[0], planned[0], planned[1]]
    : [planned[0], planned[1], planned[2]];
  return { grid: resamplingData.kind === "none" ? cropped : resampledShape(cropped, spacing, target), target };
}

/** True for a grid that no memory would do for. */
export function isBeyondAnyMemory({ grid, channels }: Pick<CaseGrids, "grid" | "channels">): boolean {
  return !(channels * voxelCount(grid) <= MOST_NUMBERS) || grid.some((size) => !(size <= LONGEST_AXIS));
}

const RESAMPLING = "resampling the image";

/**
 * Refuses a grid without voxels, and one that is beyond any memory or beyond what is allowed.
 * @param bytes What the case takes on its way there
 * @throws UserError with the voxel size, the target spacing and the size that would result
 */
export function requireGrid(grids: CaseGrids, bytes: number, allowance: MemoryAllowance | undefined): void {
  const { cropped, spacing, grid, target, channels } = grids;
  const becomes = `its ${shown(cropped)} voxels of ${shown(spacing)} mm become ${shown(grid)} at the model's ${
    shown(target)
  } mm`;
  const unit = likelyMistake(grids);
  if (grid.some((size) => !(size >= 1))) {
    throw new UserError({
      doing: RESAMPLING,
      problem: becomes,
      remedy: unit ?? "check the spacing in the image's header",
    });
  }
  if (isBeyondAnyMemory(grids)) {
    const problem = `${becomes}, more than can be worked on (${MOST_NUMBERS.toLocaleString("en-US")} voxels of all ` +
      `channels, ${LONGEST_AXIS.toLocaleString("en-US")} along an axis)`;
    throw new UserError({
      doing: RESAMPLING,
      problem,
      remedy: unit ?? "check the spacing in the image's header, or cut the image into smaller ones",
    });
  }
  const of = channels > 1 ? ` (${channels} channels)` : "";
  requireRoom(allowance, bytes, `${becomes}${of}, which takes`, { doing: RESAMPLING }, unit);
}

/** What a voxel size that is far from the model's is likely to come of; undefined where it is near. */
function likelyMistake({ spacing, target }: CaseGrids): string | undefined {
  const ratios = spacing.map((size, axis) => size / target[axis]).filter((ratio) => ratio !== 1);
  if (ratios.length === 0) return undefined;
  const [smallest, largest] = [Math.min(...ratios), Math.max(...ratios)];
  const check = "check the voxel size in the image's header";
  const in1000 = shown(spacing.map((size) => size / 1000));
  if (smallest >= 100 && largest <= 20_000) {
    return `${check}: micrometres seem to have been taken for millimetres (it would be ${in1000} mm then)`;
  }
  if (largest <= 0.01 && smallest >= 1e-4) {
    return `${check}: metres seem to have been taken for millimetres (it would be ${
      shown(spacing.map((size) => 1000 * size))
    } mm then)`;
  }
  if (largest >= 8) return `${check}: it is up to ${shown([largest])} times the model's; is its unit not millimetres?`;
  return undefined;
}

function shown(numbers: readonly number[]): string {
  return numbers.map((n) => (Math.abs(n) < 1e7 ? String(Number(n.toPrecision(6))) : n.toPrecision(3))).join(" x ");
}
