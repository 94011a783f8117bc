/**
 * The samples of a batch on the device. They are written when they are set and come into the network's input with the next step: so a step
 * is one submission with what it reads, and nothing is planned anew for it.
 */
import type { TrainingOptions } from "../../core/engine/training.ts";
import { LABELS } from "../../core/lowering/training_context.ts";
import type { WgslOperator } from "../../kernels/wgsl/kernel.ts";
import { labelWords } from "../../kernels/wgsl/training/loss.ts";
import { planGatherPatches } from "../../kernels/wgsl/volume/gather.ts";
import { layoutOf, type Segments } from "../buffers.ts";
import type { DeviceProgram, Tools } from "../program.ts";
import { bytesOf, writeBytes } from "../upload.ts";
import type { TrainingPlan } from "./plan.ts";

export interface DeviceSamples extends Disposable {
  /** Writes an image (channels, z, y, x) and its labels. */
  set(sample: number, image: Float32Array, labels: Int16Array): void;
  /** Enqueues what brings the images that were set since into the input. */
  enter(): void;
}

/** What samples are written with. */
interface SampleTools {
  readonly tools: Tools;
  enqueue(operator: WgslOperator, slots: Readonly<Record<string, Segments>>): void;
}

/** @throws UserError if there is not enough memory */
export function takeSamples(
  { tools: { buffers, commands }, enqueue }: SampleTools,
  device: DeviceProgram<TrainingPlan>,
  { patch, batch }: Pick<TrainingOptions, "patch" | "batch">,
): DeviceSamples {
  const { inputChannels, input, imageBytes } = device.plan;
  const taken: Segments[] = [];
  const dispose = () => taken.splice(0).forEach(buffers.giveArray);
  try {
    for (let sample = 0; sample < batch; sample++) taken.push(buffers.takeArray(imageBytes / batch, "a sample"));
  } catch (error) {
    dispose();
    throw error;
  }
  const gathers = taken.map((image, firstSample) =>
    planGatherPatches({
      volume: layoutOf("image", image, 4),
      channels: inputChannels,
      grid: patch,
      patches: [{ origin: [0, 0, 0], mirror: [false, false, false] }],
      patch,
      input: { ...input, slot: "input" },
      firstSample,
    })
  );
  const fresh = new Set<number>();
  const write = (target: Segments, bytes: Uint8Array, from = 0) =>
    writeBytes(commands, (operator) => enqueue(operator, { target }), target, bytes, from);
  return {
    set(sample, image, labels) {
      write(taken[sample], bytesOf(image));
      fresh.add(sample);
      // Each sample's are whole words.
      const length = labelWords(patch) * 2;
      const words = labels.length === length ? labels : new Int16Array(length);
      if (words !== labels) words.set(labels);
      write(device.slot(LABELS), bytesOf(words), sample * words.byteLength);
    },
    enter() {
      for (const sample of fresh) enqueue(gathers[sample], { image: taken[sample], input: device.slot(input.slot) });
      fresh.clear();
    },
    [Symbol.dispose]: dispose,
  };
}
