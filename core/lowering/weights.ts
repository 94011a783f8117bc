/** What a network reads of a checkpoint, and what it reads that no checkpoint has: identities and folded batch norms. */
import type { WeightSource } from "../engine/engine.ts";
import type { ConvStep } from "../graph/backward.ts";
import type { FusedNetwork } from "../graph/fuse.ts";
import type { BatchNormNode } from "../graph/graph.ts";

/** A convolution's tensors in a checkpoint, in torch's layouts. */
export interface ConvSource {
  /** Undefined: the identity between `weightShape[0]` channels. */
  readonly weight?: string;
  readonly weightShape: readonly number[];
  readonly bias?: string;
  readonly biasShape: readonly number[];
}

/** What a checkpoint has of a convolution. */
export function convSource({ tensors }: FusedNetwork, step: ConvStep): ConvSource {
  const { channels } = tensors[step.output];
  const inputs = step.input.reduce((sum, { tensor }) => sum + tensors[tensor].channels, 0);
  return {
    ...(step.weight !== undefined && { weight: step.weight }),
    ...(step.bias !== undefined && { bias: step.bias }),
    weightShape: step.kind === "conv" ? [channels, inputs, ...step.kernel] : [inputs, channels, ...step.stride],
    biasShape: [channels],
  };
}

/** Weight and bias of a convolution as torch has them. @throws UserError if the checkpoint lacks a tensor */
export function torchWeights(
  { weight, weightShape, bias, biasShape }: ConvSource,
  source: WeightSource,
): { readonly weight: Float32Array; readonly bias: Float32Array | undefined } {
  return {
    weight: weight === undefined ? identityWeights(weightShape[0]) : source.get(weight, weightShape),
    bias: bias === undefined ? undefined : source.get(bias, biasShape),
  };
}

/** Weight (out, in, 1, 1, 1) that copies `channels` channels. */
export function identityWeights(channels: number): Float32Array<ArrayBuffer> {
  const weight = new Float32Array(channels * channels);
  for (let c = 0; c < channels; c++) weight[c * channels + c] = 1;
  return weight;
}

/**
 * torch's BatchNorm in evaluation mode, computed in f64: scale = weight / sqrt(variance + eps), shift = bias - mean * scale.
 * @param out where scales and shifts of all channels go; absent: they are not wanted
 * @throws UserError if the checkpoint lacks a tensor
 */
export function foldBatchNorm(
  norm: BatchNormNode,
  channels: number,
  source: WeightSource,
  out: { readonly scale?: Float32Array; readonly shift?: Float32Array },
): void {
  const get = (name: string | undefined) => (name === undefined ? undefined : source.get(name, [channels]));
  const [weight, bias] = [get(norm.weight), get(norm.bias)];
  const mean = source.get(norm.runningMean, [channels]);
  const variance = source.get(norm.runningVar, [channels]);
  for (let c = 0; c < channels; c++) {
    const scale = (weight?.[c] ?? 1) / Math.sqrt(variance[c] + norm.eps);
    if (out.scale) out.scale[c] = scale;
    if (out.shift) out.shift[c] = (bias?.[c] ?? 0) - mean[c] * scale;
  }
}
