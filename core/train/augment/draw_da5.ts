/**
 * What nnUNetTrainerDA5 does to a sample, drawn. Order, probabilities and ranges: get_training_transforms of nnunetv2/training/
 * nnUNetTrainer/variants/data_augmentation/nnUNetTrainerDA5.py (2.5.1) with batchgenerators 0.25.5. Its SpatialTransform has no elastic
 * deformation (do_elastic_deform is False), and both of its gammas are inverted.
 */
import type { RandomStream } from "../../base/random_stream.ts";
import { aroundOne, drawCascade, shuffled } from "./draw_parts.ts";
import type { AugmentationParameters, SpatialParameters } from "./parameters.ts";
import type { AugmentationStep, LocalKernel } from "./steps.ts";
import type { AugmentationSpec } from "./spec.ts";

type Draw = (stream: RandomStream, spec: AugmentationSpec, channel: number) => AugmentationStep;

/**
 * Draws what is done to a training sample.
 * @param batch Which of two transforms is tried is one choice for all samples of a batch (OneOfTransform): it is drawn from here
 */
export function drawDa5(stream: RandomStream, spec: AugmentationSpec, batch: RandomStream): AugmentationParameters {
  const spatial = drawSpatial(stream, spec);
  const steps: AugmentationStep[] = drawTurns(stream, spec);
  /** With probability `p`, on each channel with probability `pChannel`. */
  const sometimes = (p: number, pChannel: number, draw: Draw) => {
    if (!stream.chance(p)) return;
    for (let channel = 0; channel < spec.channels; channel++) {
      if (stream.chance(pChannel)) steps.push(draw(stream, spec, channel));
    }
  };
  sometimes(0.2, 0.5, batch.chance(0.5) ? drawMedian : drawGaussian);
  if (stream.chance(0.1)) steps.push({ kind: "noise", sigma: stream.uniform(0, 0.1), seed: stream.uint32() });
  sometimes(0.1, 0.5, (_, __, channel) => ({ kind: "addBrightness", channel, offset: normal(stream, 0.5) }));
  const unbounded = batch.chance(0.5);
  sometimes(0.2, 0.5, (_, __, channel) => ({
    kind: "contrast",
    channel,
    factor: aroundOne(stream, 0.5, 2),
    ...(unbounded && { unbounded }),
  }));
  sometimes(0.15, 0.5, (_, __, channel) => ({
    kind: "splineLowResolution",
    channel,
    scale: stream.uniform(0.25, 1),
  }));
  const gamma: Draw = (_, __, channel) => ({
    kind: "gamma",
    channel,
    gamma: aroundOne(stream, 0.7, 1.5),
    inverted: true,
  });
  sometimes(0.1, 1, gamma);
  sometimes(0.1, 1, gamma);
  const axes = spec.mirrorAxes.filter(() => stream.chance(0.5));
  if (axes.length > 0) steps.push({ kind: "mirror", axes });
  if (stream.chance(0.4)) {
    for (let channel = 0; channel < spec.channels; channel++) {
      if (!stream.chance(0.5)) continue;
      const count = 1 + stream.below(5);
      for (let i = 0; i < count; i++) steps.push(drawBlank(stream, spec, channel));
    }
  }
  sometimes(0.3, 0.5, (_, __, channel) => ({
    kind: "brightnessGradient",
    channel,
    kernel: drawKernel(stream, spec),
    strength: stream.chance(0.5) ? stream.uniform(-5, -1) : stream.uniform(1, 5),
  }));
  sometimes(0.3, 0.5, (_, __, channel) => ({
    kind: "localGamma",
    channel,
    kernel: drawKernel(stream, spec),
    gamma: stream.chance(0.5) ? stream.uniform(0.01, 0.8) : stream.uniform(1.5, 4),
  }));
  sometimes(0.2, 0.5, (_, __, channel) => ({ kind: "sharpen", channel, strength: stream.uniform(0.1, 1) }));
  const cascade = drawCascade(stream, spec.cascadeLabels?.length ?? 0);
  return { ...(spatial === undefined ? {} : { spatial }), steps, cascade };
}

const drawMedian: Draw = (stream, _, channel) => ({ kind: "median", channel, width: 2 + stream.below(6) });
const drawGaussian: Draw = (stream, _, channel) => ({ kind: "gaussian", channel, sigma: stream.uniform(0.3, 1.5) });

/** A sample whose angles all turn out 0 is resampled nevertheless, as upstream does. */
function drawSpatial(stream: RandomStream, spec: AugmentationSpec): SpatialParameters | undefined {
  const rotated = stream.chance(0.4);
  const scaled = stream.chance(0.2);
  if (!rotated && !scaled) return undefined;
  const angle = () => rotated && stream.chance(0.5) ? stream.uniform(-spec.maxRotation, spec.maxRotation) : 0;
  const scale = () => scaled ? aroundOne(stream, 0.7, 1.43) : 1;
  return spec.planar
    ? { angles: [angle(), 0, 0], scale: [1, scale(), scale()] }
    : { angles: [angle(), angle(), angle()], scale: [scale(), scale(), scale()] };
}

/** Quarter turns in a plane of equal edges, and equal edges in another order. */
function drawTurns(stream: RandomStream, { turnableAxes: axes }: AugmentationSpec): AugmentationStep[] {
  const steps: AugmentationStep[] = [];
  if (axes.length < 2) return steps;
  if (stream.chance(0.5)) {
    const turns = stream.below(4);
    const [a, b] = shuffled(stream, axes).slice(0, 2).sort((one, other) => one - other);
    const order: [number, number, number] = [0, 1, 2];
    if (turns % 2 === 1) [order[a], order[b]] = [b, a];
    // numpy.rot90: one turn mirrors the second axis and then exchanges them.
    const flips = turns === 0 ? [] : turns === 1 ? [a] : turns === 2 ? [a, b] : [b];
    steps.push({ kind: "reorient", order, flips });
  }
  if (stream.chance(0.5)) {
    const order: [number, number, number] = [0, 1, 2];
    shuffled(stream, axes).forEach((from, i) => order[axes[i]] = from);
    steps.push({ kind: "reorient", order, flips: [] });
  }
  return steps;
}

/** Edges from a tenth to a third of the patch's, nowhere at index 0. Thinner patches than upstream can take get one voxel. */
function drawBlank(stream: RandomStream, { patch, dimensions }: AugmentationSpec, channel: number): AugmentationStep {
  const start: [number, number, number] = [0, 0, 0];
  const size: [number, number, number] = [1, 1, 1];
  for (let axis = 3 - dimensions; axis < 3; axis++) {
    const smallest = Math.max(1, Math.floor(patch[axis] / 10));
    size[axis] = smallest + stream.below(Math.max(0, Math.floor(patch[axis] / 3) - smallest) + 1);
    const room = patch[axis] - size[axis];
    start[axis] = room === 0 ? 0 : 1 + stream.below(room);
  }
  return { kind: "blank", channel, start, size };
}

/** Where upstream cannot draw (an edge below 6 voxels has log 0 as its bound) the narrowest kernel is one voxel wide. */
function drawKernel(stream: RandomStream, { patch, dimensions }: AugmentationSpec): LocalKernel {
  const centre: [number, number, number] = [0, 0, 0];
  const deviation: [number, number, number] = [0, 0, 0];
  for (let axis = 3 - dimensions; axis < 3; axis++) {
    const edge = patch[axis];
    centre[axis] = stream.uniform(-0.5, 1.5) * edge;
    deviation[axis] = Math.exp(stream.uniform(Math.log(Math.max(1, Math.floor(edge / 6))), Math.log(edge)));
  }
  return { centre, deviation };
}

/** A normal value of mean 0 (Box and Muller 1958). */
function normal(stream: RandomStream, deviation: number): number {
  const radius = Math.sqrt(-2 * Math.log(1 - stream.uniform(0, 1)));
  return deviation * radius * Math.cos(2 * Math.PI * stream.uniform(0, 1));
}
