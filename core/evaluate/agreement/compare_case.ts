/** The comparison of one case's segmentation with another program's; plain data in and out, so that it runs in any thread. */
import { allocationError } from "../../base/allocation.ts";
import { UserError, type UserErrorParts } from "../../base/errors.ts";
import { freeArray } from "../../base/free_array.ts";
import { collectUnderLimit, type MemoryAllowance } from "../../base/memory_allowance.ts";
import type { ReaderName } from "../../formats/image/image.ts";
import { checkSameGrid } from "../../formats/image/read_image.ts";
import type { Target } from "../overlap.ts";
import { readWideLabelsOfCase } from "../read_labels_of_case.ts";
import { type Agreement, compareLabels } from "./compare_labels.ts";

export interface ComparisonJob {
  readonly caseId: string;
  readonly reader: ReaderName;
  readonly file: string;
  readonly referenceFile: string;
  readonly targets: readonly Target[];
  /** Labels that dataset.json has; others in the reference are refused. */
  readonly knownLabels: readonly number[];
  /** The memory a case may take that is alone at work. */
  readonly memory?: MemoryAllowance;
}

export interface ComparedCase extends Agreement {
  /** Millilitres of a voxel by the image's spacing; undefined of 2-D images, which have none. */
  readonly voxelMl?: number;
  /** A sentence on what is unusual. */
  readonly warning?: string;
}

export type ComparisonOutcome = ComparedCase | { readonly error: UserErrorParts };

const DOING = "comparing with the reference";

/** Bytes a job takes for each voxel: both segmentations as 32-bit integers. */
export const BYTES_PER_VOXEL = 8;

/**
 * What is wrong with a case is its result: a file can't be read or is no segmentation, the grids differ, or the reference has a label
 * that dataset.json does not have.
 */
export async function compareCase(job: ComparisonJob): Promise<ComparisonOutcome> {
  try {
    return await compareFiles(job);
  } catch (thrown) {
    const error = allocationError(thrown, { doing: DOING, file: job.referenceFile });
    if (error instanceof UserError) return { error: error.withCase(job.caseId).parts };
    throw error;
  }
}

async function compareFiles(job: ComparisonJob): Promise<ComparedCase> {
  const { caseId, file, referenceFile, reader, memory } = job;
  using stack = new DisposableStack();
  stack.defer(() => collectUnderLimit(memory));
  const read = async (of: string) => {
    const labels = await readWideLabelsOfCase({
      caseId,
      reader,
      file: of,
      doing: DOING,
      work: "comparing",
      bytesPerVoxel: BYTES_PER_VOXEL,
      memory,
    });
    stack.defer(() => freeArray(labels.data));
    return labels;
  };
  const ours = await read(file);
  const reference = await read(referenceFile);
  const warning = checkSameGrid(
    { file, geometry: ours.geometry },
    { file: referenceFile, geometry: reference.geometry },
    DOING,
  );
  refuseUnknownLabels(reference.data, job);
  const { shape, spacing, sitk, nibabel } = ours.geometry;
  const isVolume = nibabel !== undefined || (sitk !== undefined && sitk.spacing.length === 3);
  return {
    ...compareLabels(ours.data, reference.data, shape, job.targets),
    ...(isVolume && { voxelMl: spacing[0] * spacing[1] * spacing[2] / 1000 }),
    ...(warning !== null && { warning: `case ${job.caseId}: ${warning}` }),
  };
}

function refuseUnknownLabels(reference: Int32Array, { knownLabels, referenceFile }: ComparisonJob): void {
  const known = new Set(knownLabels);
  const unknown = new Set<number>();
  for (let i = 0; i < reference.length;) {
    const label = reference[i];
    if (!known.has(label)) unknown.add(label);
    while (i < reference.length && reference[i] === label) i++;
  }
  if (unknown.size === 0) return;
  const some = [...unknown].sort((a, b) => a - b).slice(0, 20).join(", ") + (unknown.size > 20 ? ", ..." : "");
  throw new UserError({
    doing: DOING,
    file: referenceFile,
    problem: `it holds labels that the model's dataset.json does not have: ${some}`,
    remedy: "check that it was predicted with the same model, and that nothing has changed its labels since",
  });
}
