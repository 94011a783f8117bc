/** The cases of an evaluation from the worst on, and pictures of them. */
import { allocationError } from "../../base/allocation.ts";
import { UserError } from "../../base/errors.ts";
import { freeArray } from "../../base/free_array.ts";
import { allowMemory, type MemoryAllowance, requireRoom, residentBytes } from "../../base/memory_allowance.ts";
import { equalVec3, type Vec3, voxelCount } from "../../base/shape.ts";
import type { ImageFolder } from "../../dataset/image_folder.ts";
import type { ReaderName } from "../../formats/image/image.ts";
import { readCase, readWideLabels } from "../../formats/image/read_image.ts";
import { fullestSlice, greyWindow, overlayPng, type SlicePicture } from "../overlay.ts";
import { type CaseMetrics, nanMean } from "../summary.ts";

export interface RankedCase {
  readonly caseId: string;
  readonly metrics: CaseMetrics;
  /** Over the labels that are in the case. */
  readonly meanDice: number;
  /** The key of the label of the lowest Dice. */
  readonly worstKey: string;
  readonly worstDice: number;
}

/** From the lowest mean Dice on; cases in which no label is are left out. */
export function rankCases(
  cases: readonly CaseMetrics[],
  caseOf: (predictionFile: string) => string,
): readonly RankedCase[] {
  return cases.flatMap((metrics): RankedCase[] => {
    const known = [...metrics.metrics].filter(([key, { Dice }]) => key !== "0" && !Number.isNaN(Dice));
    if (known.length === 0) return [];
    const [worstKey, { Dice }] = known.reduce((worst, one) => one[1].Dice < worst[1].Dice ? one : worst);
    const meanDice = nanMean(known.map(([, one]) => one.Dice));
    return [{ caseId: caseOf(metrics.predictionFile), metrics, meanDice, worstKey, worstDice: Dice }];
  }).sort((a, b) => a.meanDice - b.meanDice);
}

/** A case's picture, or why there is none. */
export type CasePicture =
  | {
    readonly png: Uint8Array;
    readonly slice: number;
    readonly slices: number;
    /** The image's file; absent: the labels are drawn alone. */
    readonly image?: string;
  }
  | { readonly problem: string };

export interface PictureRequest {
  readonly reader: ReaderName;
  readonly ignoreLabel?: number;
  /** Absent: the labels are drawn alone. */
  readonly images?: ImageFolder;
  /** Bytes that the run may take; undefined: what the machine has to give. */
  readonly maxMemory?: number;
}

/** Pixels that a panel is wide and high, at most. */
const LARGEST_PANEL = 420;
const DOING = "drawing a case for the report";

interface Labels {
  readonly shape: Vec3;
  readonly spacing: Vec3;
  readonly slice: number;
  readonly prediction: Int32Array;
  readonly reference: Int32Array;
}

/**
 * Draws the slice in which prediction and reference differ most: the image, the reference over it, the prediction over it. What keeps a
 * picture from being drawn is in the result.
 */
export async function drawCase({ caseId, metrics }: RankedCase, request: PictureRequest): Promise<CasePicture> {
  const memory = allowMemory(request.maxMemory, residentBytes());
  try {
    const labels = await readLabelSlices(metrics, request, memory);
    const { shape: [slices, height, width], spacing, slice } = labels;
    const file = request.images && (await request.images.imagesOf(caseId))[0];
    const image = file === undefined ? undefined : await readImageSlice(caseId, file, labels, request, memory);
    const flat: SlicePicture = {
      image: image ?? new Float32Array(height * width),
      shape: [1, height, width],
      spacing,
      window: image ? greyWindow(image) : [0, 1],
      panels: [...(image ? [undefined] : []), labels.reference, labels.prediction],
      slice: 0,
      ...(image === undefined && { opacity: 1 }),
    };
    return { png: overlayPng([flat], scaleOf(flat)), slice, slices, ...(file !== undefined && { image: file }) };
  } catch (thrown) {
    const error = allocationError(thrown, { doing: DOING, caseId });
    if (error instanceof UserError) return { problem: error.message };
    throw error;
  }
}

/** Pixels per voxel along x: whole ones where the picture is enlarged. */
function scaleOf({ shape: [, height, width], spacing }: SlicePicture): number {
  const fits = Math.min(LARGEST_PANEL / width, LARGEST_PANEL / (height * spacing[1] / spacing[2]));
  return fits >= 1 ? Math.floor(fits) : fits;
}

async function readLabelSlices(
  { predictionFile, referenceFile }: CaseMetrics,
  { reader, ignoreLabel }: PictureRequest,
  memory: MemoryAllowance | undefined,
): Promise<Labels> {
  using stack = new DisposableStack();
  const read = async (file: string) => {
    const labels = await readWideLabels(reader, file, {
      judge: ({ geometry }) => judge(geometry.shape, 2, file, memory),
    });
    stack.defer(() => freeArray(labels.data));
    return labels;
  };
  const reference = await read(referenceFile);
  const prediction = await read(predictionFile);
  const { shape, spacing } = reference.geometry;
  const size = shape[1] * shape[2];
  const slice = slicesThatDiffer(prediction.data, reference.data, shape, ignoreLabel) ??
    Math.max(0, fullestSlice(reference.data, shape));
  const part = (data: Int32Array) => data.slice(slice * size, (slice + 1) * size);
  return { shape, spacing, slice, prediction: part(prediction.data), reference: part(reference.data) };
}

function judge(shape: Vec3, arrays: number, file: string, memory: MemoryAllowance | undefined): void {
  const needs = `reading ${shape.join(" x ")} voxels takes`;
  requireRoom(memory, 4 * arrays * voxelCount(shape), needs, { doing: DOING, file });
}

/** The first of the slices with the most voxels that differ; undefined where none does. */
function slicesThatDiffer(
  prediction: Int32Array,
  reference: Int32Array,
  [slices, height, width]: Vec3,
  ignoreLabel: number | undefined,
): number | undefined {
  let [best, most] = [0, 0];
  const size = height * width;
  for (let z = 0; z < slices; z++) {
    let count = 0;
    for (let i = z * size; i < (z + 1) * size; i++) {
      if (prediction[i] !== reference[i] && reference[i] !== ignoreLabel) count++;
    }
    if (count > most) [best, most] = [z, count];
  }
  return most > 0 ? best : undefined;
}

async function readImageSlice(
  caseId: string,
  file: string,
  { shape, slice }: Labels,
  { reader }: PictureRequest,
  memory: MemoryAllowance | undefined,
): Promise<Float32Array> {
  const { data, geometry } = await readCase(reader, [file], {
    judge: ({ channels, geometry }) => judge(geometry.shape, channels, file, memory),
  });
  if (!equalVec3(geometry.shape, shape)) {
    freeArray(data);
    const problem = `its shape is ${geometry.shape.join(" x ")} (z, y, x), that of the segmentations ${
      shape.join(" x ")
    }`;
    throw new UserError({ doing: DOING, caseId, file, problem, remedy: "give the folder of the cases' images" });
  }
  const size = shape[1] * shape[2];
  const plane = data.slice(slice * size, (slice + 1) * size);
  freeArray(data);
  return plane;
}
