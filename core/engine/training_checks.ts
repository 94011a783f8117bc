/** What engines that train check before they do anything, and the meaning of labels that they share. */
import { type Vec3, voxelCount } from "../base/shape.ts";
import { UserError } from "../base/errors.ts";
import type { Graph } from "../graph/graph.ts";
import { weightShapes } from "../graph/weight_shapes.ts";
import type { LossOptions, TrainingOptions } from "./training.ts";

/** @throws RangeError if the options do not fit each other or the graph; UserError if two nodes share a parameter. */
export function checkTrainingOptions(graph: Graph, { batch, outputWeights, loss, share }: TrainingOptions): void {
  if (!(Number.isInteger(batch) && batch >= 1)) throw new RangeError(`Planning a training: a batch of ${batch}`);
  if (share && !(share.first >= 0 && share.first + batch <= share.of)) {
    throw new RangeError(`Planning a training: ${batch} samples from ${share.first} on, of ${share.of}`);
  }
  if (outputWeights.length !== graph.outputs.length) {
    throw new RangeError(
      `Planning a training: ${outputWeights.length} output weights for ${graph.outputs.length} outputs`,
    );
  }
  if (outputWeights[0] === 0) throw new RangeError("Planning a training: the first output has weight 0");
  if (loss.target.kind === "labels" && loss.ignoreLabel !== undefined && loss.ignoreLabel < 0) {
    throw new RangeError(`Planning a training: the ignore label is ${loss.ignoreLabel}`);
  }
  if (loss.target.kind === "regions" && loss.topK) throw new RangeError("Planning a training: TopK is not for regions");
  const names = weightShapes(graph).map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) {
    throw new UserError({
      doing: "planning the training of the network",
      problem: `two of its nodes share the parameter ${twice}, which cannot be trained`,
    });
  }
}

/** A sample's label that is no class of the network's. */
export class UnknownLabel extends RangeError {
  constructor(readonly label: number, readonly classes: number) {
    super(`Setting a sample: label ${label} is not one of the network's ${classes} classes`);
  }
}

/** @throws RangeError if a sample's arrays have another size; {@link UnknownLabel} */
export function checkSample(
  image: Float32Array,
  labels: Int16Array,
  network: {
    readonly patch: Vec3;
    readonly inputChannels: number;
    readonly classes: number;
    readonly loss: LossOptions;
  },
): void {
  const voxels = voxelCount(network.patch);
  checkLength(image.length, network.inputChannels * voxels, "image");
  checkLength(labels.length, voxels, "label map");
  const { classes, loss: { target, ignoreLabel } } = network;
  if (target.kind !== "labels") return;
  // By index: an iterator takes seven times as long, milliseconds for a large patch.
  for (let i = 0; i < labels.length; i++) {
    const label = labels[i];
    if ((label < 0 || label >= classes) && label !== ignoreLabel) {
      throw new UnknownLabel(label, classes);
    }
  }
}

function checkLength(length: number, needed: number, what: string): void {
  if (length !== needed) throw new RangeError(`Setting a sample: the ${what} has ${length} elements, not ${needed}`);
}

/** By label: the output channels it counts for. */
export function membersOf({ target }: LossOptions, channels: number): number[][] {
  if (target.kind === "labels") return Array.from({ length: channels }, (_, label) => [label]);
  const labels = target.regions.flat().reduce((most, label) => Math.max(most, label), 0) + 1;
  return Array.from(
    { length: labels },
    (_, label) => target.regions.flatMap((region, channel) => (region.includes(label) ? [channel] : [])),
  );
}
