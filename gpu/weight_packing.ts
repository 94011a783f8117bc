/** Weights packed on the device: from torch's layout, as checkpoints and parameters have them, to what convolutions read. */
import { voxelCount } from "../core/base/shape.ts";
import type { ConvStep } from "../core/graph/backward.ts";
import type { FusedNetwork } from "../core/graph/fuse.ts";
import { kernelOf } from "../core/lowering/backward.ts";
import { describeWeight } from "../core/lowering/lowering.ts";
import { type PackWeights, planPackWeights } from "../kernels/wgsl/conv/pack_kernels.ts";
import type { ConvLimits, WgslConvOperator } from "../kernels/wgsl/conv/problem.ts";
import type { WgslDispatch } from "../kernels/wgsl/kernel.ts";

/** Slots that a checkpoint's weight and bias are in while they are packed. */
export const [RAW_WEIGHT, RAW_BIAS] = ["raw weight", "raw bias"];

/** How torch has a convolution's weights: (out, in, taps), transposed (in, out, taps). */
export function weightOrder({ tensors }: FusedNetwork, conv: ConvStep) {
  const { channels } = tensors[conv.output];
  const inputParts = conv.input.map(({ tensor }) => tensors[tensor].channels);
  const inputs = inputParts.reduce((a, b) => a + b);
  const kernel = kernelOf(conv);
  const taps = voxelCount(kernel);
  const [outputStep, inputStep] = conv.kind === "conv" ? [inputs * taps, taps] : [taps, channels * taps];
  return { kernel, outputStep, inputStep, inputParts, outputParts: [channels] };
}

/**
 * The kernels that pack a convolution's weights from {@link RAW_WEIGHT} and {@link RAW_BIAS}.
 * @returns undefined where the host has to: weights that no checkpoint has, that the device does not bind as a whole, or whose kernel its
 * driver does not compile
 */
export function rawPacking(
  network: FusedNetwork,
  step: ConvStep,
  { packing, weightBytes, weightSegmentBytes }: WgslConvOperator,
  targetSlot: string,
  limits: ConvLimits,
): WgslDispatch[] | undefined {
  if (step.weight === undefined) return undefined;
  const order = weightOrder(network, step);
  const channels = order.inputParts.reduce((a, b) => a + b) * order.outputParts[0];
  const inOneBinding = channels * voxelCount(order.kernel) * 4 <= limits.maxBindingBytes;
  if (!inOneBinding || weightSegmentBytes < weightBytes) return undefined;
  const spec: PackWeights = {
    ...order,
    name: describeWeight(step),
    packing,
    sourceSlot: RAW_WEIGHT,
    ...(step.bias !== undefined && { biasSlot: RAW_BIAS }),
    flipped: false,
    targetSlot,
    limits,
  };
  const kernels = planPackWeights(spec);
  return kernels.some((kernel) => limits.refuses?.(kernel)) ? undefined : kernels;
}
