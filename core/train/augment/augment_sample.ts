/** One sample from the loaded patch to what the network takes, on the CPU. The order of the steps is upstream's. */
import { equalVec3, voxelCount } from "../../base/shape.ts";
import { blur } from "./blur.ts";
import { removeComponent } from "./components.ts";
import { changeContrast, changeGamma, scaleBrightness } from "./intensity.ts";
import { lowResolutionSize, simulateLowResolution } from "./low_resolution.ts";
import { applyOperator, reversed, structuringElement, writeMasks } from "./masks.ts";
import { mirror } from "./mirror.ts";
import { addNoise } from "./noise.ts";
import { applyDa5Step } from "./da5_steps.ts";
import type { AugmentationParameters } from "./parameters.ts";
import type { AugmentationBuffers, LoadedPatch, PreparedSample } from "./sample.ts";
import { spatialTransform } from "./spatial.ts";
import type { AugmentationSpec } from "./spec.ts";
import type { AugmentationStep, CascadeStep } from "./steps.ts";

/**
 * Augments a training sample.
 * @param buffers Made for this spec; the result lives in them
 * @throws RangeError if the loaded patch is not of the spec's size, or lacks the previous stage
 */
export function augmentSample(
  spec: AugmentationSpec,
  loaded: LoadedPatch,
  parameters: AugmentationParameters,
  buffers: AugmentationBuffers,
): PreparedSample {
  if (!equalVec3(loaded.size, spec.loadPatch)) {
    throw new RangeError(`Augmentation: loaded ${loaded.size.join(" x ")}, needs ${spec.loadPatch.join(" x ")}`);
  }
  takePatch(spec, loaded, parameters.spatial, buffers);
  for (const step of parameters.steps) applyStep(spec, step, buffers);
  maskOutside(spec, buffers);
  return finish(spec, parameters.cascade, buffers);
}

/**
 * Prepares a validation sample, whose loaded patch is the patch: nothing is drawn.
 * @throws RangeError as augmentSample
 */
export function validationSample(
  spec: AugmentationSpec,
  loaded: LoadedPatch,
  buffers: AugmentationBuffers,
): PreparedSample {
  takePatch(spec, loaded, undefined, buffers);
  return finish(spec, [], buffers);
}

function takePatch(
  spec: AugmentationSpec,
  loaded: LoadedPatch,
  spatial: AugmentationParameters["spatial"],
  buffers: AugmentationBuffers,
): void {
  const voxels = voxelCount(loaded.size);
  const { image, labels, previous } = loaded;
  if (image.length !== spec.channels * voxels || labels.length !== voxels) {
    throw new RangeError(
      `Augmentation: ${spec.channels} channels of ${loaded.size.join(" x ")} are not what was loaded`,
    );
  }
  const transform = spatialTransform(spec, loaded.size, spatial, buffers.coefficients);
  transform.image(image, buffers.image);
  transform.labels(labels, buffers.labels);
  if (spec.cascadeLabels === undefined) return;
  if (previous?.length !== voxels) throw new RangeError("Augmentation: the labels of the previous stage are missing");
  transform.labels(previous, buffers.previous);
}

function applyStep(spec: AugmentationSpec, step: AugmentationStep, buffers: AugmentationBuffers): void {
  const { patch, channels } = spec;
  const voxels = voxelCount(patch);
  const channel = (index: number) => buffers.image.subarray(index * voxels, (index + 1) * voxels);
  switch (step.kind) {
    case "noise":
      return addNoise(buffers.image.subarray(0, channels * voxels), step.sigma, step.seed);
    case "blur":
      return blur(channel(step.channel), patch, step.sigmas, buffers.scratch);
    case "brightness":
      return scaleBrightness(channel(step.channel), step.factor);
    case "contrast":
      return changeContrast(channel(step.channel), step.factor, step.unbounded);
    case "lowResolution": {
      const low = lowResolutionSize(patch, step.scale, spec.planar);
      return simulateLowResolution(channel(step.channel), patch, low, buffers.scratch);
    }
    case "gamma":
      return changeGamma(channel(step.channel), step.gamma, step.inverted);
    case "mirror":
      mirror(buffers.image, channels, patch, step.axes);
      mirror(buffers.labels, 1, patch, step.axes);
      if (spec.cascadeLabels !== undefined) mirror(buffers.previous, 1, patch, step.axes);
      return;
    default:
      return applyDa5Step(spec, step, buffers);
  }
}

/** The masked channels become 0 where the labels are negative. */
function maskOutside(spec: AugmentationSpec, { image, labels }: AugmentationBuffers): void {
  for (const channel of spec.maskedChannels) {
    const at = channel * labels.length;
    for (let i = 0; i < labels.length; i++) if (labels[i] < 0) image[at + i] = 0;
  }
}

/** Label -1 becomes background, the previous stage's labels masks. */
function finish(
  spec: AugmentationSpec,
  cascade: readonly CascadeStep[],
  buffers: AugmentationBuffers,
): PreparedSample {
  const { image, labels, previous } = buffers;
  for (let i = 0; i < labels.length; i++) if (labels[i] === -1) labels[i] = 0;
  if (spec.cascadeLabels === undefined) return { image, labels };
  const { cascadeLabels, channels, patch, dimensions } = spec;
  writeMasks(previous, cascadeLabels, image, channels);
  for (const step of cascade) {
    if (step.kind === "operator") {
      const element = structuringElement(step.radius, dimensions);
      const erodingElement = spec.recipe === "da5" ? reversed(element) : element;
      applyOperator(image, patch, channels, cascadeLabels.length, step.mask, step.operator, element, erodingElement);
    } else {
      const at = (channels + step.mask) * labels.length;
      removeComponent(image.subarray(at, at + labels.length), patch, step.choice);
    }
  }
  return { image, labels };
}
