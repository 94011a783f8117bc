/** How a weight set lies in memory: packed convolution weights, torch's own where every run packs them, and vectors. */
import { padToFour } from "../core/base/shape.ts";
import type { BatchNormNode } from "../core/graph/graph.ts";
import { alignBlock } from "../core/graph/memory_plan.ts";
import type { WeightedOperator } from "../kernels/wasm/kernel.ts";

/** A block of a weight set. */
export type WeightBlock =
  & { readonly slot: string; readonly offset: number; readonly bytes: number }
  & (
    | {
      readonly kind: "packed";
      readonly operator: WeightedOperator;
      /** Undefined: the identity between `weightShape[0]` channels. */
      readonly weight?: string;
      readonly weightShape: readonly number[];
      readonly bias?: string;
      readonly biasShape: readonly number[];
    }
    /** As torch has it, weight then bias; a step of every run packs it into the arena. */
    | {
      readonly kind: "torch";
      readonly operator: WeightedOperator;
      readonly weight?: string;
      readonly weightShape: readonly number[];
      readonly bias?: string;
      readonly biasShape: readonly number[];
    }
    /** A vector as it is. */
    | { readonly kind: "vector"; readonly name: string; readonly channels: number }
    /** A batch norm folded: scale = weight / sqrt(variance + eps), shift = bias - mean * scale; one padded vector after the other. */
    | { readonly kind: "batchNorm"; readonly norm: BatchNormNode; readonly channels: number }
  );

/** A convolution's weights and the slot that its kernels read them from. */
export type ConvWeights =
  & Omit<Extract<WeightBlock, { kind: "packed" }>, "kind" | "offset" | "bytes">
  & { readonly kind: "packed" | "torch" };

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
  return {
    blocks,
    bytes: () => end,
    conv({ kind, ...block }: ConvWeights): void {
      const { weightBytes, packing } = block.operator;
      if (kind === "packed") blocks.push({ kind, ...block, ...place(weightBytes) });
      else if (packing) blocks.push({ kind, ...block, slot: packing.sourceSlot, ...place(packing.sourceBytes) });
      else throw new Error("Laying out weights: the operator has no packing kernels");
    },
    vector(name: string, channels: number): string {
      const known = slots.get(name);
      if (known) return known;
      const block: WeightBlock = {
        kind: "vector",
        slot: `vector:${blocks.length}`,
        name,
        channels,
        ...place(vectorBytes(channels)),
      };
      blocks.push(block);
      slots.set(name, block.slot);
      return block.slot;
    },
    batchNorm(norm: BatchNormNode, channels: number): { scaleSlot: string; shiftSlot: string } {
      const key = `batchNorm ${norm.runningMean}`;
      const known = slots.get(key);
      if (known) return { scaleSlot: known, shiftSlot: `${known}:shift` };
      const block: WeightBlock = {
        kind: "batchNorm",
        slot: `vector:${blocks.length}`,
        norm,
        channels,
        ...place(2 * vectorBytes(channels)),
      };
      blocks.push(block);
      slots.set(key, block.slot);
      return { scaleSlot: block.slot, shiftSlot: `${block.slot}:shift` };
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
