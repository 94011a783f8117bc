/** The cascade's input: the previous stage's segmentation, checked against the image and cropped with it. */
import { UserError } from "../base/errors.ts";
import { equalVec3, type Vec3, voxelCount } from "../base/shape.ts";
import type { ImageGeometry, LabelVolume } from "../formats/image/image.ts";
import { compareGrids, GRID_TOLERANCE } from "../formats/image/image_grid.ts";
import { copyCrop, type CropView } from "./crop.ts";

/** Warnings about a segmentation that does not lie where the image does. @throws UserError if shape or place don't match. */
export function checkPreviousStageGrid(
  image: ImageGeometry,
  labels: LabelVolume,
  segmentation: ImageGeometry,
): readonly string[] {
  const doing = "checking the previous stage's segmentation";
  const remedy =
    "give the segmentations that the previous stage predicted for these very images (-prev_stage_predictions)";
  if (!equalVec3(image.shape, labels.shape)) {
    const size = (shape: Vec3) => shape.toReversed().join(" x ");
    throw new UserError({
      doing,
      problem: `it has ${size(labels.shape)} voxels (x, y, z), the image has ${size(image.shape)}`,
      remedy,
    });
  }
  const distance = compareGrids(image, segmentation);
  if (!(distance <= GRID_TOLERANCE.error)) {
    throw new UserError({
      doing,
      problem: `its corners lie up to ${
        distance.toFixed(2)
      } voxels from the image's; at most ${GRID_TOLERANCE.error} is allowed`,
      remedy,
    });
  }
  if (distance <= GRID_TOLERANCE.warning) return [];
  return [`the corners of the previous stage's segmentation lie up to ${distance.toFixed(2)} voxels from the image's`];
}

/**
 * The segmentation cropped and transposed as the image is, -1 where it is 0 outside `mask` (crop_to_nonzero). Labelled voxels
 * outside are added to the mask, as upstream takes the mask for the normalisation from the segmentation then.
 */
export function cropPreviousStage(labels: LabelVolume, view: CropView, mask: Uint8Array): Int16Array {
  const cropped = new Int16Array(voxelCount(view.shape));
  const whole = labels.data instanceof Int16Array ? labels.data : Int16Array.from(labels.data);
  copyCrop(whole, view, cropped);
  for (let i = 0; i < cropped.length; i++) {
    if (mask[i] !== 0) continue;
    if (cropped[i] === 0) cropped[i] = -1;
    else mask[i] = 1;
  }
  return cropped;
}
