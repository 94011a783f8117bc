/** The comparison of one segmentation with its reference; plain data in and out, so that it runs in any thread. */
import { allocationError } from "../base/allocation.ts";
import { UserError } from "../base/errors.ts";
import { freeArray } from "../base/free_array.ts";
import { collectUnderLimit, type MemoryAllowance, requireRoom } from "../base/memory_allowance.ts";
import { voxelCount } from "../base/shape.ts";
import type { ImageGeometry, LabelValues, ReaderName } from "../formats/image/image.ts";
import { countOverlaps, type Overlap, type Target } from "./overlap.ts";
import { type CaseReading, readLabelsOfCase, readWideLabelsOfCase } from "./read_labels_of_case.ts";
import { checkComparable } from "./same_image.ts";
import { classesOf, toClasses } from "./surface/class_volume.ts";
import { canBeMeasured, measureSurfaces, type SurfaceMetrics, type SurfaceSetting } from "./surface/surface_metrics.ts";

export interface EvaluationJob {
  readonly caseId: string;
  readonly reader: ReaderName;
  readonly predictionFile: string;
  readonly referenceFile: string;
  readonly targets: readonly Target[];
  readonly ignoreLabel?: number;
  /** Absent: surfaces are not measured. */
  readonly surface?: SurfaceSetting;
  /** The memory a case may take that is alone at work. */
  readonly memory?: MemoryAllowance;
}

export interface EvaluatedCase {
  /** One for each target, in their order. */
  readonly overlaps: readonly Overlap[];
  /** As many, where they were asked for. */
  readonly surfaces?: readonly SurfaceMetrics[];
  /** A sentence on what is unusual. */
  readonly warning?: string;
}

const DOING = "comparing segmentations";

/** Bytes a job takes at most for each voxel: prediction and reference as 32-bit integers. */
export const BYTES_PER_VOXEL = 8;

/** @throws UserError naming the case: a file can't be read, is no segmentation, or the shapes differ */
export async function evaluateCase(job: EvaluationJob): Promise<EvaluatedCase> {
  using stack = new DisposableStack();
  stack.defer(() => collectUnderLimit(job.memory));
  const { surface } = job;
  if (!surface) {
    const { prediction, reference, warning } = await readBoth(job, readLabelsOfCase, stack);
    return { overlaps: countOverlaps(prediction.data, reference.data, job.targets, job.ignoreLabel), warning };
  }
  const { prediction, reference, warning } = await readBoth(job, readWideLabelsOfCase, stack);
  const overlaps = countOverlaps(prediction.data, reference.data, job.targets, job.ignoreLabel);
  return { overlaps, surfaces: surfacesOf(job, surface, prediction.data, reference), warning };
}

/** Both segmentations, to be freed with `stack`. */
async function readBoth<T extends { readonly data: LabelValues; readonly geometry: ImageGeometry }>(
  { caseId, reader, predictionFile, referenceFile, memory }: EvaluationJob,
  readLabels: (reading: CaseReading) => Promise<T>,
  stack: DisposableStack,
): Promise<{ readonly prediction: T; readonly reference: T; readonly warning: string | undefined }> {
  const read = async (file: string) => {
    const bytesPerVoxel = BYTES_PER_VOXEL;
    const labels = await readLabels({ caseId, reader, file, doing: DOING, work: "comparing", bytesPerVoxel, memory });
    stack.defer(() => freeArray(labels.data));
    return labels;
  };
  const prediction = await read(predictionFile);
  const reference = await read(referenceFile);
  const warning = checkComparable(
    caseId,
    { file: predictionFile, geometry: prediction.geometry },
    { file: referenceFile, geometry: reference.geometry },
    DOING,
  );
  return { prediction, reference, warning };
}

/** The surfaces by the reference's spacing. The label volumes are overwritten. */
function surfacesOf(
  { caseId, referenceFile, predictionFile, targets, ignoreLabel, memory }: EvaluationJob,
  { tolerance }: SurfaceSetting,
  prediction: Int32Array,
  reference: { readonly data: Int32Array; readonly geometry: ImageGeometry },
): SurfaceMetrics[] {
  const { shape, spacing } = reference.geometry;
  if (!canBeMeasured(shape)) {
    const problem = `surfaces are not measured in images as large as ${shape.join(" x ")} voxels`;
    throw new UserError({ doing: DOING, caseId, file: referenceFile, problem, remedy: "leave out --surface" });
  }
  const classes = classesOf(targets);
  toClasses(prediction, reference.data, classes, ignoreLabel);
  const judge = (bytes: number) => {
    const needs = `measuring the surfaces in ${shape.join(" x ")} voxels takes`;
    const about = { doing: DOING, caseId, file: predictionFile };
    requireRoom(memory, bytes + BYTES_PER_VOXEL * voxelCount(shape), needs, about);
  };
  const volumes = { prediction: { data: prediction, shape }, reference: { data: reference.data, shape } };
  try {
    return measureSurfaces({ ...volumes, classes, spacing, tolerance, judge });
  } catch (error) {
    throw allocationError(error, { doing: DOING, caseId, file: predictionFile });
  }
}
