/**
 * Preprocessing of a training case: image and segmentation cropped, normalised and resampled together, and where each class is.
 * Source: run_case_npy in nnunetv2/preprocessing/preprocessors/default_preprocessor.py.
 */
import { UserError } from "../base/errors.ts";
import type { MemoryAllowance } from "../base/memory_allowance.ts";
import { equalVec3 } from "../base/shape.ts";
import type { CaseImage, ImageGeometry, LabelVolume } from "../formats/image/image.ts";
import { compareGrids, GRID_TOLERANCE } from "../formats/image/image_grid.ts";
import type { ClassKey, TrainingData } from "../formats/preprocessed/training_data.ts";
import type { Configuration, Plans } from "../plan/plans.ts";
import { sampleClassLocations } from "./class_locations.ts";
import type { NonFinitePolicy } from "./non_finite.ts";
import { preprocessCase } from "./preprocess_case.ts";

export interface TrainingCaseOptions {
  readonly nan: NonFinitePolicy;
  /** True if the image's array may be used as working memory; it then holds nothing of use. */
  readonly overwriteImage?: boolean;
  /** The memory the case may take. */
  readonly memory?: MemoryAllowance;
  /** The image's files, for errors. */
  readonly files?: readonly string[];
}

/** A case ready for training. */
export interface TrainingCase extends TrainingData {
  readonly warnings: readonly string[];
}

/**
 * Preprocesses a case for one configuration. The segmentation has to be on the image's grid ({@link checkSegmentationGrid}).
 * @throws UserError as preprocessCase
 */
export function preprocessTrainingCase(
  id: string,
  image: CaseImage,
  labels: LabelVolume,
  plans: Plans,
  configuration: Configuration,
  keys: readonly ClassKey[],
  options: TrainingCaseOptions,
): TrainingCase {
  // A training case's segmentation goes the same way as the previous stage's in a cascade: cropped with the image, -1 outside the
  // nonzero region, which then is where either has something, and resampled by resampling_fn_seg.
  const { data, channels, grid, previousStage, properties, warnings } = preprocessCase(
    id,
    image,
    plans,
    configuration,
    { previousStage: { labels, geometry: image.geometry }, labelledVoxels: countLabelled(labels), ...options },
  );
  if (previousStage === undefined) throw new Error("preprocessing gave no segmentation");
  const segmentation = narrow(previousStage);
  return {
    image: data,
    channels,
    grid,
    segmentation,
    classLocations: sampleClassLocations(segmentation, keys),
    properties: {
      geometry: properties.geometry,
      shapeBeforeCropping: properties.shapeBeforeCropping,
      boundingBox: properties.boundingBox,
      shapeAfterCropping: properties.shapeAfterCropping,
    },
    warnings,
  };
}

function countLabelled({ data }: LabelVolume): number {
  let count = 0;
  for (let i = 0; i < data.length; i++) if (data[i] > 0) count++;
  return count;
}

/** int8 where the labels fit, upstream's rule, and their array is given back; the array itself where they don't. */
function narrow(labels: Int16Array): Int8Array | Int16Array {
  let largest = -Infinity;
  for (let i = 0; i < labels.length; i++) if (labels[i] > largest) largest = labels[i];
  if (largest > 127) return labels;
  const result = new Int8Array(labels.length);
  for (let i = 0; i < labels.length; i++) result[i] = labels[i];
  // Left to the collector, large ones stay for a while.
  if (labels.buffer instanceof ArrayBuffer) labels.buffer.transfer(0);
  return result;
}

/**
 * Warnings about a segmentation that does not lie exactly where its image does.
 * @throws UserError if it has another shape, or lies more than a voxel away and that is not allowed
 */
export function checkSegmentationGrid(
  image: ImageGeometry,
  segmentation: ImageGeometry,
  file: string,
  allowMismatch: boolean,
): readonly string[] {
  const doing = "comparing segmentation and image";
  if (!equalVec3(image.shape, segmentation.shape)) {
    const size = ({ shape }: ImageGeometry) => [...shape].reverse().join(" x ");
    throw new UserError({
      doing,
      file,
      problem: `the segmentation has ${size(segmentation)} voxels (x, y, z), its image has ${size(image)}`,
      remedy: "give the segmentation of this very image",
    });
  }
  const distance = compareGrids(image, segmentation);
  const text = `the corners of the segmentation lie up to ${distance.toFixed(2)} voxels from the image's`;
  if (distance <= GRID_TOLERANCE.warning) return [];
  if (distance <= GRID_TOLERANCE.error || allowMismatch) return [`${file}: ${text}`];
  throw new UserError({
    doing,
    file,
    problem: `${text}; at most ${GRID_TOLERANCE.error} is allowed`,
    remedy: "correct the headers, or take them voxel by voxel with --allow_geometry_mismatch",
  });
}
