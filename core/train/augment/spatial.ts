/** The spatial transform of a sample: rotated and scaled about its centre, or just cropped, from the loaded patch to the patch. */
import { type Vec3, voxelCount } from "../../base/shape.ts";
import type { SpatialParameters } from "./parameters.ts";
import { resampleByNearest, resampleBySpline, resampleLabelsByVote } from "./spatial_da5.ts";
import { resampleImageSlices, resampleLabelSlices } from "./spatial_planar.ts";
import { type RowGeometry, rowGeometry, spatialMatrix } from "./spatial_rows.ts";
import { resampleImage, resampleLabels } from "./spatial_volume.ts";
import type { AugmentationSpec } from "./spec.ts";

/** Takes channels and label maps from the loaded patch's size to the patch's. */
export interface SpatialTransform {
  image(source: Float32Array, target: Float32Array): void;
  labels(source: Int16Array, target: Int16Array): void;
}

/**
 * @param loaded Size of what is transformed
 * @param coefficients Room that cubic interpolation needs, coefficientCount elements
 * @throws RangeError if the patch is larger
 */
export function spatialTransform(
  spec: AugmentationSpec,
  loaded: Vec3,
  parameters: SpatialParameters | undefined,
  coefficients: Float32Array = new Float32Array(0),
): SpatialTransform {
  const { patch, channels, planar } = spec;
  if (patch.some((n, axis) => n > loaded[axis]) || (planar && loaded[0] !== patch[0])) {
    throw new RangeError(
      `Augmentation: a patch of ${patch.join(" x ")} is not in a loaded one of ${loaded.join(" x ")}`,
    );
  }
  if (parameters === undefined) {
    const start = spec.recipe === "da5" ? da5CropStart : cropStart;
    const from: Vec3 = [start(loaded[0], patch[0]), start(loaded[1], patch[1]), start(loaded[2], patch[2])];
    return {
      image: (source, target) => crop(source, loaded, target, patch, channels, from),
      labels: (source, target) => crop(source, loaded, target, patch, 1, from),
    };
  }
  const rows: RowGeometry = rowGeometry(spatialMatrix(parameters), patch, loaded);
  if (spec.recipe === "da5") return da5Transform(spec, loaded, rows, coefficients);
  const byNearest = spec.labelInterpolation === "nearest";
  if (planar) {
    return {
      image: (source, target) => resampleImageSlices(source, channels * patch[0], loaded, target, patch, rows),
      labels: (source, target) => resampleLabelSlices(source, loaded, target, patch, rows, byNearest),
    };
  }
  return {
    image: (source, target) => resampleImage(source, channels, loaded, target, patch, rows),
    labels: (source, target) => resampleLabels(source, loaded, target, patch, rows, byNearest),
  };
}

function da5Transform(
  { patch, channels, planar, imageInterpolation, labelInterpolation }: AugmentationSpec,
  loaded: Vec3,
  rows: RowGeometry,
  coefficients: Float32Array,
): SpatialTransform {
  return {
    image: (source, target) =>
      imageInterpolation === "nearest"
        ? resampleByNearest(source, channels, loaded, target, patch, rows, planar, 0)
        : resampleBySpline(source, channels, loaded, target, patch, rows, planar, coefficients),
    labels: (source, target) =>
      labelInterpolation === "nearest"
        ? resampleByNearest(source, 1, loaded, target, patch, rows, planar, -1)
        : resampleLabelsByVote(source, loaded, target, patch, rows, planar),
  };
}

/** Where the middle begins that is taken as it is. */
function cropStart(loaded: number, patch: number): number {
  return (loaded >> 1) - (patch >> 1);
}

/** batchgenerators' center_crop: of odd differences it may be another voxel. */
function da5CropStart(loaded: number, patch: number): number {
  return (loaded - patch) >> 1;
}

/** Copies the box from `from` on. */
function crop<T extends Float32Array | Int16Array>(
  source: T,
  loaded: Vec3,
  target: T,
  patch: Vec3,
  channels: number,
  [z0, y0, x0]: Vec3,
): void {
  const [depth, height, width] = patch;
  for (let c = 0; c < channels; c++) {
    const from = c * voxelCount(loaded);
    const to = c * voxelCount(patch);
    for (let z = 0; z < depth; z++) {
      for (let y = 0; y < height; y++) {
        const at = from + ((z0 + z) * loaded[1] + y0 + y) * loaded[2] + x0;
        target.set(source.subarray(at, at + width), to + (z * height + y) * width);
      }
    }
  }
}
