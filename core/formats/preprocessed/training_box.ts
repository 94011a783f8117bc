/** Boxes of a training case: image 0 and segmentation -1 where the box reaches over the grid, as upstream's data loader pads. */
import { type Vec3, voxelCount } from "../../base/shape.ts";
import type { TrainingBox } from "./training_data.ts";

/** A box of nothing but padding. */
export function emptyBox(channels: number, size: Vec3, segmentation: "int8" | "int16"): TrainingBox {
  const voxels = voxelCount(size);
  const empty = segmentation === "int8" ? new Int8Array(voxels) : new Int16Array(voxels);
  return { image: new Float32Array(channels * voxels), segmentation: empty.fill(-1) };
}

/** Copies what part `source`, a box at `sourceOrigin`, has of the box `target` at `origin`. */
export function copyIntoBox(
  source: TrainingBox,
  channels: number,
  sourceOrigin: Vec3,
  sourceSize: Vec3,
  target: TrainingBox,
  origin: Vec3,
  size: Vec3,
): void {
  const low = (axis: 0 | 1 | 2) => Math.max(sourceOrigin[axis], origin[axis]);
  const high = (axis: 0 | 1 | 2) => Math.min(sourceOrigin[axis] + sourceSize[axis], origin[axis] + size[axis]);
  const length = high(2) - low(2);
  if (length <= 0) return;
  const sourceVoxels = voxelCount(sourceSize);
  const voxels = voxelCount(size);
  for (let z = low(0); z < high(0); z++) {
    for (let y = low(1); y < high(1); y++) {
      const from = ((z - sourceOrigin[0]) * sourceSize[1] + y - sourceOrigin[1]) * sourceSize[2] + low(2) -
        sourceOrigin[2];
      const to = ((z - origin[0]) * size[1] + y - origin[1]) * size[2] + low(2) - origin[2];
      for (let c = 0; c < channels; c++) {
        const at = c * sourceVoxels + from;
        target.image.set(source.image.subarray(at, at + length), c * voxels + to);
      }
      target.segmentation.set(source.segmentation.subarray(from, from + length), to);
    }
  }
}
