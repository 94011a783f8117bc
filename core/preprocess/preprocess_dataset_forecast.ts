/** What preprocessing a case will take, from its headers alone: bytes of memory at most, and on disk. */
import { describeBytes } from "../base/describe_bytes.ts";
import { UserError } from "../base/errors.ts";
import { freeBytes } from "../base/files.ts";
import { permute, type Vec3, voxelCount } from "../base/shape.ts";
import { tryProbe } from "../dataset/case_size.ts";
import type { RawCase } from "../dataset/raw_dataset.ts";
import { trainingBytes } from "../formats/preprocessed/training_data.ts";
import type { Configuration, Plans } from "../plan/plans.ts";
import { resampledShape } from "./separate_z.ts";

/** Of a thread beside its arrays: code, buffers, the decoder's pieces. */
const THREAD_BYTES = 48 * 2 ** 20;

export interface CaseForecast {
  /** The most memory while it is worked on. */
  readonly memory: number;
  /** Bytes of each configuration's data, not compressed. */
  readonly disk: readonly number[];
}

/** Both are upper bounds: what cropping takes away is not known. */
export async function forecastCase(
  one: RawCase,
  plans: Plans,
  configurations: readonly Configuration[],
): Promise<CaseForecast> {
  // Of what can't be read nothing is known; reading it will say what is wrong.
  const header = (await tryProbe(plans.reader, one.images[0]))?.geometry ?? { shape: [1, 1, 1], spacing: [1, 1, 1] };
  const channels = configurations[0]?.normalizationSchemes.length ?? 1;
  const voxels = voxelCount(header.shape);
  const grids = configurations.map((configuration) => gridOf(header, plans, configuration));
  const inPlace = plans.transposeForward.every((axis, i) => axis === i);
  const read = 4 * channels * voxels + 2 * voxels;
  const peaks = grids.map((grid, i) => {
    // The last configuration may work in the image's own array.
    const ownChannel = inPlace && i === grids.length - 1 ? 0 : 4 * voxels;
    // Mask and cropped segmentation; then the result, its segmentation twice, and the voxels of a class.
    return read + 3 * voxels + ownChannel + trainingBytes(grid, channels) + 4 * voxelCount(grid);
  });
  return {
    memory: THREAD_BYTES + Math.max(read + 4 * voxels, ...peaks),
    disk: grids.map((grid) => trainingBytes(grid, channels)),
  };
}

interface CaseSize {
  readonly shape: Vec3;
  /** mm, z y x. */
  readonly spacing: Vec3;
}

function gridOf({ shape, spacing }: CaseSize, plans: Plans, { spacing: target, resamplingData }: Configuration): Vec3 {
  const from = permute(shape, plans.transposeForward);
  const old = permute(spacing, plans.transposeForward);
  if (resamplingData.kind === "none") return from;
  return resampledShape(
    from,
    old,
    target.length === 2 ? [old[0], target[0], target[1]] : [
      target[0],
      target[1],
      target[2],
    ],
  );
}

/** @throws UserError if the disk of `folder` has less than `bytes` free; a sentence if it might be too little */
export function checkFreeDisk(folder: string, bytes: number, compressed: boolean): string | null {
  const free = freeBytes(folder);
  if (free === null || bytes <= free) return null;
  const problem = `the preprocessed data take up to ${describeBytes(bytes)}${
    compressed ? " before compression" : ""
  }, and ${describeBytes(free)} are free`;
  if (compressed && bytes * COMPRESSED_SHARE <= free) return `${folder}: ${problem}`;
  throw new UserError({
    doing: "preparing the preprocessing",
    file: folder,
    problem,
    remedy: "free some space, preprocess fewer configurations (-c), or set nnUNet_preprocessed to a larger disk",
  });
}

/** What is left of images after deflate, about. */
const COMPRESSED_SHARE = 0.5;
