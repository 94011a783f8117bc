/** The steps of recipe "da5" on the sample that is being made. */
import { type Vec3, voxelCount } from "../../base/shape.ts";
import { roundHalfEven } from "../../base/numeric.ts";
import { resampleChannel } from "../../preprocess/resample.ts";
import type { ResamplePlan } from "../../preprocess/resample_plan.ts";
import { gaussianFilter } from "./gaussian.ts";
import { addBrightness } from "./intensity.ts";
import { addBrightnessGradient, changeLocalGamma } from "./local_effects.ts";
import { medianFilter } from "./median.ts";
import { blankBox, sharpen } from "./neighbourhood.ts";
import { nearestTable } from "../../preprocess/axis_tables.ts";
import { reorient } from "./reorient.ts";
import type { AugmentationBuffers } from "./sample.ts";
import type { AugmentationSpec } from "./spec.ts";
import type { Da5Step } from "./steps.ts";

export function applyDa5Step(spec: AugmentationSpec, step: Da5Step, buffers: AugmentationBuffers): void {
  const { patch, channels } = spec;
  const { scratch: [scratch] } = buffers;
  if (step.kind === "reorient") {
    reorient(buffers.image, channels, patch, step.order, step.flips, scratch);
    reorient(buffers.labels, 1, patch, step.order, step.flips, scratch);
    if (spec.cascadeLabels) reorient(buffers.previous, 1, patch, step.order, step.flips, scratch);
    return;
  }
  const voxels = voxelCount(patch);
  const channel = buffers.image.subarray(step.channel * voxels, (step.channel + 1) * voxels);
  switch (step.kind) {
    case "median":
      return medianFilter(channel, patch, step.width, buffers.scratch);
    case "gaussian":
      return gaussianFilter(channel, patch, step.sigma, scratch);
    case "addBrightness":
      return addBrightness(channel, step.offset);
    case "splineLowResolution":
      return splineLowResolution(channel, patch, step.scale, spec.planar, scratch);
    case "blank":
      return blankBox(channel, patch, step.start, step.size);
    case "brightnessGradient":
      return addBrightnessGradient(channel, patch, step.kernel, step.strength);
    case "localGamma":
      return changeLocalGamma(channel, patch, step.kernel, step.gamma);
    case "sharpen":
      return sharpen(channel, patch, step.strength, scratch);
  }
}

/** skimage's resize of order 3, mode "edge", clipped to the range of its input. */
const CUBIC: ResamplePlan = {
  resampling: { kind: "spline", isSeg: false, order: 3, orderZ: 0, forceSeparateZ: false },
  currentSpacing: [1, 1, 1],
  newSpacing: [1, 1, 1],
};

/**
 * A channel as it would look at a lower resolution: voxels picked, then interpolated back by cubic splines, in place.
 * Source: augment_linear_downsampling_scipy of batchgenerators/augmentations/resample_augmentations.py (0.25.5).
 */
export function splineLowResolution(
  image: Float32Array,
  size: Vec3,
  scale: number,
  keepZ: boolean,
  scratch: Float32Array,
): void {
  const fewer = (n: number) => Math.max(1, roundHalfEven(n * scale));
  const low: Vec3 = [keepZ ? size[0] : fewer(size[0]), fewer(size[1]), fewer(size[2])];
  const [zs, ys, xs] = low.map((count, axis) => nearestTable(size[axis], count).first);
  const picked = scratch.subarray(0, voxelCount(low));
  let to = 0;
  for (let z = 0; z < low[0]; z++) {
    for (let y = 0; y < low[1]; y++) {
      const row = (zs[z] * size[1] + ys[y]) * size[2];
      for (let x = 0; x < low[2]; x++) picked[to++] = image[row + xs[x]];
    }
  }
  resampleChannel(picked, low, image, size, CUBIC);
}
