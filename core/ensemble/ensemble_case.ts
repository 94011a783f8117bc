/** One case of an ensemble: the mean of its probabilities becomes a segmentation. Plain data in and out, so that it runs in any thread. */
import { allocationError } from "../base/allocation.ts";
import { UserError, type UserErrorParts } from "../base/errors.ts";
import { writeAtomically } from "../base/files.ts";
import { collectUnderLimit, type MemoryAllowance, requireRoom } from "../base/memory_allowance.ts";
import { type Vec3, voxelCount } from "../base/shape.ts";
import { writeNpz } from "../formats/archive/npz.ts";
import type { ImageGeometry, ReaderName } from "../formats/image/image.ts";
import { writeLabels } from "../formats/image/write_image.ts";
import { readPickledProperties } from "../formats/preprocessed/pickled_properties.ts";
import { createBlockMerge } from "./block_merge.ts";
import type { LabelMemory } from "./label_memory.ts";
import { bytesPerVoxel, channelsOf, createLabeller, type Labeller, type LabelRule } from "./labeller.ts";
import {
  BYTES_PER_FILE,
  type OpenedProbabilities,
  openProbabilities,
  probeProbabilities,
  READING,
  REMEDY,
} from "./mean_probabilities.ts";

export interface EnsembleJob {
  readonly caseId: string;
  /** <case>.npz of every model; <case>.pkl beside the first one says where the image lies. */
  readonly files: readonly string[];
  readonly reader: ReaderName;
  readonly rule: LabelRule;
  /** The segmentation. */
  readonly output: string;
  /** Where the mean probabilities go, if they are kept; the properties go beside them. */
  readonly probabilities?: string;
  /** The memory a case may take that is alone at work. */
  readonly memory?: MemoryAllowance;
}

/** Nothing, or why the case could not be done. */
export interface EnsembledCase {
  readonly failure?: UserErrorParts;
}

/** Bytes a job takes while it runs; 0 where its first file can't be read, which running it says. */
export async function bytesOfJob({ files, rule }: EnsembleJob): Promise<number> {
  try {
    const { shape } = await probeProbabilities(files[0]);
    return bytesOf(shape, rule, files.length);
  } catch (error) {
    if (error instanceof UserError) return 0;
    throw error;
  }
}

function bytesOf(shape: Vec3, rule: LabelRule, files: number): number {
  return bytesPerVoxel(rule) * voxelCount(shape) + BYTES_PER_FILE * files;
}

/**
 * Whatever is wrong with a case is its own failure.
 * @param memory Of the thread; it is given back where the user limits the memory, as another thread may need it
 * @throws what would befall other cases as well: a full disk, a defect
 */
export async function ensembleCase(job: EnsembleJob, memory: LabelMemory): Promise<EnsembledCase> {
  try {
    await mergeFiles(job, memory);
    return {};
  } catch (thrown) {
    const error = allocationError(thrown, { doing: "averaging probabilities", file: job.files[0] });
    if (!(error instanceof UserError)) throw error;
    const named = error.withCase(job.caseId);
    if (named.parts.endsRun) throw named;
    return { failure: named.parts };
  } finally {
    if (job.memory && !job.memory.isTheMachines) memory[Symbol.dispose]();
    collectUnderLimit(job.memory);
  }
}

/** The segmentation comes last: where it is, all of the case is. */
async function mergeFiles(job: EnsembleJob, labelMemory: LabelMemory): Promise<void> {
  const { files, rule, reader, memory, output, probabilities } = job;
  const pickle = propertiesFile(files[0]);
  const { properties } = await readPickledProperties(pickle, "reading the properties", REMEDY);
  await using opened = await openProbabilities(files, channelsOf(rule));
  const { shape, channels } = opened;
  requireSameImage(shape, properties.shapeBeforeCropping, pickle, files[0]);
  requireRoom(memory, bytesOf(shape, rule, files.length), `averaging ${shape.join(" x ")} voxels takes`, {
    doing: "averaging probabilities",
    file: files[0],
  });
  const labeller = createLabeller(rule, voxelCount(shape), labelMemory);
  const bytes = labelled(opened, labeller, files);
  if (probabilities === undefined) { for await (const _ of bytes) { /* only the labels are kept */ } }
  else {
    const header = { dtype: "<f4", shape: [channels, ...shape] };
    await writeNpz(probabilities, "probabilities", header, bytes, { doing: "writing the mean probabilities" });
    const properties = await Deno.readFile(pickle);
    await writeAtomically(propertiesFile(probabilities), properties, { doing: "writing the properties" });
  }
  const geometry: ImageGeometry = { ...properties.geometry, reader, spacing: properties.spacing, shape };
  await writeLabels(reader, output, { data: labeller.labels, shape }, geometry);
}

/** Labels the voxels and gives the means as they lie in a file. */
async function* labelled(
  { blocks, requireWhole }: OpenedProbabilities,
  labeller: Labeller,
  files: readonly string[],
): AsyncGenerator<Uint8Array, void, void> {
  const merge = createBlockMerge();
  for await (const block of blocks(merge)) {
    if (!labeller.take(merge, block)) {
      await requireWhole(); // of damaged bytes it matters less what numbers they make
      const problem = `class ${block.channel} of ${files.join(" or ")} has probabilities that are no numbers (NaN)`;
      throw new UserError({ doing: READING, problem, remedy: REMEDY });
    }
    yield new Uint8Array(merge.means.buffer, merge.means.byteOffset, 4 * block.count);
  }
}

function propertiesFile(npz: string): string {
  return npz.replace(/\.npz$/, ".pkl");
}

/** The properties' axes are those of the network, so only the sizes can be compared. */
function requireSameImage(shape: Vec3, transposed: Vec3, pickle: string, npz: string): void {
  const sorted = (sizes: Vec3) => sizes.toSorted((a, b) => a - b).join(" x ");
  if (sorted(shape) === sorted(transposed)) return;
  throw new UserError({
    doing: "reading the properties",
    file: pickle,
    problem: `it is of an image of ${transposed.join(" x ")} voxels, ${npz} of one of ${shape.join(" x ")}`,
    remedy: REMEDY,
  });
}
