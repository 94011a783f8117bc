/** Writes a checkpoint's weights in the form a program's kernels want. */
import { padToFour } from "../core/base/shape.ts";
import type { WeightSource } from "../core/engine/engine.ts";
import type { BatchNormNode } from "../core/graph/graph.ts";
import type { WeightBlock } from "./weight_layout.ts";

/** Fills one block of a weight set on the calling thread; `out` covers the block. */
export function writeWeightBlock(block: WeightBlock, source: WeightSource, out: Float32Array): void {
  switch (block.kind) {
    case "packed": {
      const { weight, bias } = torchWeights(block, source);
      block.operator.pack(weight, bias, out);
      source.release?.(weight);
      return;
    }
    case "torch": {
      const { weight, bias } = torchWeights(block, source);
      out.set(weight);
      out.fill(0, weight.length);
      if (bias) out.set(bias, weight.length);
      source.release?.(weight);
      return;
    }
    case "vector":
      out.fill(0);
      out.set(source.get(block.name, [block.channels]));
      return;
    case "batchNorm":
      foldBatchNorm(block.norm, block.channels, source, out);
      return;
  }
}

/** Weight and bias of a convolution's block as torch has them. */
export function torchWeights(
  block: Extract<WeightBlock, { kind: "packed" | "torch" }>,
  source: WeightSource,
): { readonly weight: Float32Array; readonly bias: Float32Array | undefined } {
  return {
    weight: block.weight === undefined ? identity(block.weightShape[0]) : source.get(block.weight, block.weightShape),
    bias: block.bias === undefined ? undefined : source.get(block.bias, block.biasShape),
  };
}

/** Bytes of torch's weights that the kernels which pack them need at a time. */
export function packingBytes(blocks: readonly WeightBlock[]): number {
  const sizes = blocks.map((block) => (block.kind === "packed" ? block.operator.packing?.sourceBytes ?? 0 : 0));
  return sizes.reduce((a, b) => Math.max(a, b), 0);
}

/** Weight (out, in, 1, 1, 1) that copies `channels` channels. */
function identity(channels: number): Float32Array {
  const weight = new Float32Array(channels * channels);
  for (let c = 0; c < channels; c++) weight[c * channels + c] = 1;
  return weight;
}

/** Scales, then shifts, of torch's BatchNorm in evaluation mode, computed in f64. */
function foldBatchNorm(norm: BatchNormNode, channels: number, source: WeightSource, out: Float32Array): void {
  const get = (name: string | undefined) => (name === undefined ? undefined : source.get(name, [channels]));
  const [weight, bias] = [get(norm.weight), get(norm.bias)];
  const mean = source.get(norm.runningMean, [channels]);
  const variance = source.get(norm.runningVar, [channels]);
  out.fill(0);
  for (let c = 0; c < channels; c++) {
    const scale = (weight?.[c] ?? 1) / Math.sqrt(variance[c] + norm.eps);
    out[c] = scale;
    out[padToFour(channels) + c] = (bias?.[c] ?? 0) - mean[c] * scale;
  }
}
