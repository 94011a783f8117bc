/** The spatial transform of a sample: rotated and scaled about its centre, or just cropped, from the loaded patch to the patch. */
import { type Vec3, voxelCount } from "../../base/shape.ts";
import type { SpatialParameters } from "./parameters.ts";
import { resampleImageSlices, resampleLabelSlices } from "./spatial_planar.ts";
import { type RowGeometry, rowGeometry, spatialMatrix } from "./spatial_rows.ts";
import { resampleImage, resampleLabels } from "./spatial_volume.ts";
import type { AugmentationSpec } from "./spec.ts";

/** Takes channels and label maps from the loaded patch's size to the patch's. */
export interface SpatialTransform {
  image(source: Float32Array, target: Float32Array): void;
  labels(source: Int16Array, target: Int16Array): void;
}

/** @param loaded Size of what is transformed. @throws RangeError if the patch is larger */
export function spatialTransform(
  spec: AugmentationSpec,
  loaded: Vec3,
  parameters: SpatialParameters | undefined,
): SpatialTransform {
  const { patch, channels, planar } = spec;
  if (patch.some((n, axis) => n > loaded[axis]) || (planar && loaded[0] !== patch[0])) {
    throw new RangeError(
      `Augmentation: a patch of ${patch.join(" x ")} is not in a loaded one of ${loaded.join(" x ")}`,
    );
  }
  if (parameters === undefined) {
    return {
      image: (source, target) => crop(source, loaded, target, patch, channels),
      labels: (source, target) => crop(source, loaded, target, patch, 1),
    };
  }
  const rows: RowGeometry = rowGeometry(spatialMatrix(parameters), patch, loaded);
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

/** Copies the middle, from floor(loaded / 2) - floor(patch / 2) on. */
function crop<T extends Float32Array | Int16Array>(
  source: T,
  loaded: Vec3,
  target: T,
  patch: Vec3,
  channels: number,
): void {
  const [z0, y0, x0] = patch.map((n, axis) => (loaded[axis] >> 1) - (n >> 1));
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
