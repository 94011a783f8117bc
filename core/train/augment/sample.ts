/** A sample before and after augmentation, and the memory it is worked on in. Plain data, to be sent between threads. */
import { type Vec3, voxelCount } from "../../base/shape.ts";
import { coefficientCount } from "./spatial_da5.ts";
import type { AugmentationSpec } from "./spec.ts";

/** A box of a case as it was loaded: image 0, labels and previous stage -1 where it reached over the case's borders. */
export interface LoadedPatch {
  /** (channels, ...size). */
  readonly image: Float32Array;
  /** (z, y, x); -1 outside the nonzero region. */
  readonly labels: Int16Array;
  /** With a previous stage: its label map of this box. */
  readonly previous?: Int16Array;
  /** The spec's loadPatch in training, its patch in validation. */
  readonly size: Vec3;
}

/** What TrainingEngine.setSample takes. Both are views of the buffers: they change with the next sample. */
export interface PreparedSample {
  /** (channels and masks of the previous stage, ...patch). */
  readonly image: Float32Array;
  /** (z, y, x), nothing negative. */
  readonly labels: Int16Array;
}

/** Memory that is reused from sample to sample; one set a thread. */
export interface AugmentationBuffers {
  readonly image: Float32Array;
  readonly labels: Int16Array;
  /** With a previous stage: its label map at the size of the patch. */
  readonly previous: Int16Array;
  /** Two of one channel. */
  readonly scratch: readonly [Float32Array, Float32Array];
  /** Where the image is interpolated by splines: those of one channel as it was loaded, or of a slice of it. */
  readonly coefficients: Float32Array;
}

/** Channels of the network's input. */
export function inputChannels(spec: AugmentationSpec): number {
  return spec.channels + (spec.cascadeLabels?.length ?? 0);
}

/** Elements of AugmentationBuffers.coefficients. */
export function splineCoefficients({ imageInterpolation, loadPatch, planar }: AugmentationSpec): number {
  return imageInterpolation === "cubic" ? coefficientCount(loadPatch, planar) : 0;
}

/** Memory for samples of this spec, for any number of them one after the other. */
export function createAugmentationBuffers(spec: AugmentationSpec): AugmentationBuffers {
  const voxels = voxelCount(spec.patch);
  return {
    image: new Float32Array(inputChannels(spec) * voxels),
    labels: new Int16Array(voxels),
    previous: new Int16Array(spec.cascadeLabels === undefined ? 0 : voxels),
    scratch: [new Float32Array(voxels), new Float32Array(voxels)],
    coefficients: new Float32Array(splineCoefficients(spec)),
  };
}
