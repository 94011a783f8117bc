/** How a weight set lies in memory: packed convolution weights, torch's own where every run packs them, and vectors. */
import { padToFour } from "../core/base/shape.ts";
import type { BatchNormNode } from "../core/graph/graph.ts";
import { alignBlock } from "../core/graph/memory_plan.ts";
import type { ConvSource } from "../core/lowering/weights.ts";
import type { WeightedOperator } from "../kernels/wasm/kernel.ts";

/** A block of a weight set. */
export type WeightBlock =
  & { readonly slot: string; readonly offset: number; readonly bytes: number }
  & (
    | ConvWeights
    /** A vector as it is. */
    | { readonly kind: "vector"; readonly name: string; readonly channels: number }
    /** A batch norm folded: scale = weight / sqrt(variance + eps), shift = bias - mean * scale; one padded vector after the other. */
    | { readonly kind: "batchNorm"; readonly norm: BatchNormNode; readonly channels: number }
  );

/** A convolution's weights and the slot that its kernels read them from. */
interface ConvWeights extends ConvSource {
  /** "torch": as torch has it, weight then bias; a step of every run packs it into the arena. */
  readonly kind: "packed" | "torch";
  readonly slot: string;
  readonly operator: WeightedOperator;
}

/** Lays out a weight set block after block, in the order of the steps; equal vectors are kept once. */
export function createWeightLayout() {
  const blocks: WeightBlock[] = [];
  const slots = new Map<string, string>();
  let end = 0;
  const place = (bytes: number) => {
    const offset = end;
    end += alignBlock(bytes);
    return { offset, bytes };
  };
  const vectorBytes = (channels: number) => padToFour(channels) * 4;
  const once = (key: string, make: (slot: string) => WeightBlock): string => {
    const known = slots.get(key);
    if (known !== undefined) return known;
    const block = make(`vector:${blocks.length}`);
    blocks.push(block);
    slots.set(key, block.slot);
    return block.slot;
  };
  return {
    blocks,
    bytes: () => end,
    conv({ kind, ...block }: ConvWeights): void {
      const { weightBytes, packing } = block.operator;
      if (kind === "packed") blocks.push({ kind, ...block, ...place(weightBytes) });
      else if (packing) blocks.push({ kind, ...block, slot: packing.sourceSlot, ...place(packing.sourceBytes) });
      else throw new Error("Laying out weights: the operator has no packing kernels");
    },
    vector: (name: string, channels: number): string =>
      once(name, (slot) => ({ kind: "vector", slot, name, channels, ...place(vectorBytes(channels)) })),
    batchNorm(norm: BatchNormNode, channels: number): { scaleSlot: string; shiftSlot: string } {
      const scaleSlot = once(
        `batchNorm ${norm.runningMean}`,
        (slot) => ({ kind: "batchNorm", slot, norm, channels, ...place(2 * vectorBytes(channels)) }),
      );
      return { scaleSlot, shiftSlot: `${scaleSlot}:shift` };
    },
    signature: () =>
      JSON.stringify(blocks.map((block) => {
        if (block.kind === "vector") return [block.offset, block.name];
        if (block.kind === "batchNorm") return [block.offset, block.norm];
        const { kind, weight = "identity", bias = null, operator } = block;
        return [kind, block.offset, block.bytes, weight, bias, operator.algorithm];
      })),
  };
}

/** Names of the slots of a weight set and their byte offsets in it. */
export function weightOffsets(blocks: readonly WeightBlock[]): Map<string, number> {
  const offsets = new Map<string, number>();
  for (const block of blocks) {
    offsets.set(block.slot, block.offset);
    if (block.kind === "batchNorm") offsets.set(`${block.slot}:shift`, block.offset + padToFour(block.channels) * 4);
  }
  return offsets;
}
