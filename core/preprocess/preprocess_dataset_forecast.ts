/** What preprocessing a case will take, from its headers alone: bytes of memory at most, and on disk. */
import { describeBytes } from "../base/describe_bytes.ts";
import { UserError } from "../base/errors.ts";
import { freeBytes } from "../base/files.ts";
import type { RawCase } from "../dataset/raw_dataset.ts";
import { type CaseHeaders, probeCase } from "../formats/image/read_image.ts";
import { trainingBytes } from "../formats/preprocessed/training_data.ts";
import type { Configuration, Plans } from "../plan/plans.ts";
import { isBeyondAnyMemory, largestGrids, preprocessingBytes, readingBytes, trainingCaseBytes } from "./case_memory.ts";

export interface CaseForecast {
  /** The most memory while it is worked on. */
  readonly memory: number;
  /** Bytes of each configuration's data, not compressed; 0 for a grid that will be refused. */
  readonly disk: readonly number[];
}

/** Both are upper bounds: what cropping takes away is not known. */
export async function forecastCase(
  one: RawCase,
  plans: Plans,
  configurations: readonly Configuration[],
): Promise<CaseForecast> {
  // Of what can't be read nothing is known; reading it will say what is wrong.
  const image = await tryProbeCase(plans, one) ?? UNKNOWN;
  const inPlace = plans.transposeForward.every((axis, i) => axis === i);
  const reading = readingBytes(image, true);
  const grids = configurations.map((configuration) => largestGrids(image, plans, configuration));
  const peaks = grids.map((grid, i) => {
    // A grid beyond any memory is refused when the case is read.
    if (isBeyondAnyMemory(grid)) return reading;
    // The last configuration may work in the image's own array.
    const overwrites = i === grids.length - 1;
    const work = { labelled: true, masked: true, overwrites, inPlace, copies: false };
    return Math.max(preprocessingBytes(grid, work, configurations[i]), trainingCaseBytes(grid, overwrites, 1));
  });
  return {
    memory: Math.max(reading, ...peaks),
    disk: grids.map((grid) => (isBeyondAnyMemory(grid) ? 0 : trainingBytes(grid.grid, image.channels))),
  };
}

const UNKNOWN: CaseHeaders = {
  channels: 1,
  geometry: { reader: "SimpleITKIO", shape: [1, 1, 1], spacing: [1, 1, 1] },
  bufferBytes: 0,
};

async function tryProbeCase({ reader }: Plans, { images }: RawCase): Promise<CaseHeaders | null> {
  try {
    return await probeCase(reader, images);
  } catch (error) {
    if (error instanceof UserError) return null;
    throw error;
  }
}

/** A case and the bytes of its data. */
export interface CaseDisk {
  readonly id: string;
  readonly bytes: number;
}

/** @throws UserError if the disk of `folder` has less than `bytes` free; a sentence if it might be too little */
export function checkFreeDisk(folder: string, bytes: number, compressed: boolean, largest?: CaseDisk): string | null {
  const free = freeBytes(folder);
  if (free === null || bytes <= free) return null;
  // A case with a wrong voxel size may be what takes it all.
  const most = largest && largest.bytes > bytes / 2
    ? ` (case ${largest.id} alone ${describeBytes(largest.bytes)})`
    : "";
  const problem = `the preprocessed data take up to ${describeBytes(bytes)}${
    compressed ? " before compression" : ""
  }${most}, and ${describeBytes(free)} are free`;
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
