/**
 * How what is done to one sample is drawn; it is all the randomness there is. Probabilities, ranges and order: get_training_transforms of
 * nnunetv2/training/nnUNetTrainer/nnUNetTrainer.py (2.5.1) and batchgeneratorsv2 0.3.6.
 */
import type { RandomStream } from "../../base/random_stream.ts";
import { drawDa5 } from "./draw_da5.ts";
import { aroundOne, drawCascade } from "./draw_parts.ts";
import type { AugmentationParameters, SpatialParameters } from "./parameters.ts";
import type { AugmentationSpec } from "./spec.ts";
import type { AugmentationStep } from "./steps.ts";

const P_ROTATION = 0.2;
const P_SCALING = 0.2;

/**
 * Draws what is done to a training sample.
 * @param batch The same for all samples of a batch: recipe "da5" draws from it what they have in common
 */
export function drawAugmentation(
  stream: RandomStream,
  spec: AugmentationSpec,
  batch: RandomStream = stream,
): AugmentationParameters {
  if (spec.recipe === "none") return { steps: [], cascade: [] };
  if (spec.recipe === "da5") return drawDa5(stream, spec, batch);
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
