/**
 * What is done to one sample, as plain data, and how it is drawn. Drawing is all the randomness there is: the same parameters give the
 * same sample on every engine. Probabilities, ranges and order: get_training_transforms of nnunetv2/training/nnUNetTrainer/
 * nnUNetTrainer.py (2.5.1) and batchgeneratorsv2 0.3.6.
 */
import type { Vec3 } from "../../base/shape.ts";
import type { RandomStream } from "../../base/random_stream.ts";
import type { AugmentationSpec } from "./spec.ts";

/** Rotation and scaling about the centre of the loaded patch. */
export interface SpatialParameters {
  /** Radians about the axes z, y, x; planar ones have only the first. */
  readonly angles: Vec3;
  /** Above 1 objects get smaller. */
  readonly scale: number;
}

/** One step that changes the image, or its orientation and that of the labels. Channels are those of the image without previous stage. */
export type AugmentationStep =
  /** Adds independent normal values of this standard deviation to every voxel of every channel. */
  | { readonly kind: "noise"; readonly sigma: number; readonly seed: number }
  /** Standard deviations in voxels along z, y, x; 0: not along this axis. */
  | { readonly kind: "blur"; readonly channel: number; readonly sigmas: Vec3 }
  | { readonly kind: "brightness"; readonly channel: number; readonly factor: number }
  | { readonly kind: "contrast"; readonly channel: number; readonly factor: number }
  /** Down to this share of the voxels along each axis (z is kept in planar specs), and up again. */
  | { readonly kind: "lowResolution"; readonly channel: number; readonly scale: number }
  | { readonly kind: "gamma"; readonly channel: number; readonly gamma: number; readonly inverted: boolean }
  /** Flips image and labels. */
  | { readonly kind: "mirror"; readonly axes: readonly number[] };

export type BinaryOperator = "dilation" | "erosion" | "closing" | "opening";

/** One step on the masks of the previous stage. `mask` counts the spec's cascadeLabels. */
export type CascadeStep =
  /** With a ball (2-D: a disk) of this radius in voxels. */
  | { readonly kind: "operator"; readonly mask: number; readonly operator: BinaryOperator; readonly radius: number }
  /** Empties one small component; `choice` in [0, 1) picks it among those there are. */
  | { readonly kind: "removeComponent"; readonly mask: number; readonly choice: number };

export interface AugmentationParameters {
  /** Absent: the middle of the loaded patch as it is. */
  readonly spatial?: SpatialParameters;
  /** In the order in which they are done. */
  readonly steps: readonly AugmentationStep[];
  /** In the order in which they are done; empty without a previous stage. */
  readonly cascade: readonly CascadeStep[];
}

const P_ROTATION = 0.2;
const P_SCALING = 0.2;
const OPERATORS: readonly BinaryOperator[] = ["dilation", "erosion", "closing", "opening"];

/** Draws what is done to a training sample. */
export function drawAugmentation(stream: RandomStream, spec: AugmentationSpec): AugmentationParameters {
  if (spec.recipe === "none") return { steps: [], cascade: [] };
  const spatial = drawSpatial(stream, spec);
  const steps: AugmentationStep[] = [];
  const all = Array.from({ length: spec.channels }, (_, channel) => channel);
  const half = () => all.filter(() => stream.chance(0.5));

  if (stream.chance(0.1)) steps.push({ kind: "noise", sigma: stream.uniform(0, 0.1), seed: stream.uint32() });
  if (stream.chance(0.2)) {
    for (const channel of half()) {
      const sigma = () => stream.uniform(0.5, 1);
      steps.push({ kind: "blur", channel, sigmas: [spec.dimensions === 2 ? 0 : sigma(), sigma(), sigma()] });
    }
  }
  if (stream.chance(0.15)) {
    for (const channel of all) steps.push({ kind: "brightness", channel, factor: aroundOne(stream, 0.75, 1.25) });
  }
  if (stream.chance(0.15)) {
    for (const channel of all) steps.push({ kind: "contrast", channel, factor: aroundOne(stream, 0.75, 1.25) });
  }
  if (stream.chance(0.25)) {
    for (const channel of half()) steps.push({ kind: "lowResolution", channel, scale: stream.uniform(0.5, 1) });
  }
  for (const inverted of [true, false]) {
    if (!stream.chance(inverted ? 0.1 : 0.3)) continue;
    for (const channel of all) steps.push({ kind: "gamma", channel, gamma: aroundOne(stream, 0.7, 1.5), inverted });
  }
  const axes = spec.mirrorAxes.filter(() => stream.chance(0.5));
  if (axes.length > 0) steps.push({ kind: "mirror", axes });
  const cascade = drawCascade(stream, spec.cascadeLabels?.length ?? 0);
  return { ...(spatial === undefined ? {} : { spatial }), steps, cascade };
}

function drawSpatial(stream: RandomStream, spec: AugmentationSpec): SpatialParameters | undefined {
  const rotated = stream.chance(P_ROTATION);
  const scaled = stream.chance(P_SCALING);
  if (!rotated && !scaled) return undefined;
  const angle = () => rotated ? stream.uniform(-spec.maxRotation, spec.maxRotation) : 0;
  return {
    angles: spec.planar ? [angle(), 0, 0] : [angle(), angle(), angle()],
    scale: scaled ? stream.uniform(0.7, 1.4) : 1,
  };
}

/** Below 1 half of the time. */
function aroundOne(stream: RandomStream, low: number, high: number): number {
  return stream.chance(0.5) ? stream.uniform(low, 1) : stream.uniform(1, high);
}

function drawCascade(stream: RandomStream, masks: number): CascadeStep[] {
  const steps: CascadeStep[] = [];
  if (masks === 0) return steps;
  if (stream.chance(0.4)) {
    for (const mask of shuffled(stream, masks)) {
      const operator = OPERATORS[stream.below(OPERATORS.length)];
      steps.push({ kind: "operator", mask, operator, radius: stream.uniform(1, 8) });
    }
  }
  if (stream.chance(0.2)) {
    for (const mask of shuffled(stream, masks)) {
      steps.push({ kind: "removeComponent", mask, choice: stream.uniform(0, 1) });
    }
  }
  return steps;
}

/** 0..count-1 in random order. */
function shuffled(stream: RandomStream, count: number): number[] {
  const order = Array.from({ length: count }, (_, index) => index);
  for (let i = count - 1; i > 0; i--) {
    const j = stream.below(i + 1);
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}
