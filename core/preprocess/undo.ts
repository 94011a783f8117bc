/** The way back from the preprocessed grid to the file's: un-crop and transpose_backward as an offset and strides. */
import { contiguousStrides, permute, type Vec3 } from "../base/shape.ts";
import type { Plans } from "../plan/plans.ts";
import type { CaseProperties } from "./case.ts";

/** Where a voxel of the cropped, transposed grid at the original resolution lies in the file's label volume. */
export interface ExportGeometry {
  /** (z, y, x) of the label volume in the reader's axis order. */
  readonly fileShape: Vec3;
  /** Element index of voxel (0, 0, 0) of the cropped grid. */
  readonly offset: number;
  /** Element steps along the cropped grid's three (transposed) axes. */
  readonly strides: Vec3;
}

/**
 * Element of cropped voxel (a, b, c) in the file-order volume: offset + a * strides[0] + b * strides[1] + c * strides[2].
 * Source: bounding box and transpose_backward in nnunetv2/inference/export_prediction.py.
 */
export function exportGeometry(
  properties: CaseProperties,
  plans: Pick<Plans, "transposeBackward">,
): ExportGeometry {
  const backward = plans.transposeBackward;
  const fileShape = permute(properties.shapeBeforeCropping, backward);
  const fileStrides = contiguousStrides(fileShape);
  const strides: [number, number, number] = [0, 0, 0];
  for (let fileAxis = 0; fileAxis < 3; fileAxis++) strides[backward[fileAxis]] = fileStrides[fileAxis];
  const offset = properties.boundingBox.reduce((sum, [low], axis) => sum + low * strides[axis], 0);
  return { fileShape, offset, strides };
}
