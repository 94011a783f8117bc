/** Writes a checkpoint's weights in the form a program's kernels want. */
import { padToFour } from "../core/base/shape.ts";
import type { WeightSource } from "../core/engine/engine.ts";
import { foldBatchNorm, torchWeights } from "../core/lowering/weights.ts";
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
    case "batchNorm": {
      const { norm, channels } = block;
      out.fill(0);
      foldBatchNorm(norm, channels, source, { scale: out, shift: out.subarray(padToFour(channels)) });
      return;
    }
  }
}

/** Bytes of torch's weights that the kernels which pack them need at a time. */
export function packingBytes(blocks: readonly WeightBlock[]): number {
  const sizes = blocks.map((block) => (block.kind === "packed" ? block.operator.packing?.sourceBytes ?? 0 : 0));
  return sizes.reduce((a, b) => Math.max(a, b), 0);
}
