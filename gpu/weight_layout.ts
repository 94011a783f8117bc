/**
 * Where a network's weights lie on the device, and how a checkpoint is written there. Blocks follow each other in buffers of moderate
 * size, in the order of the steps; equal vectors are kept once.
 */
import { padToFour } from "../core/base/shape.ts";
import type { WeightSource } from "../core/engine/engine.ts";
import type { BatchNormNode } from "../core/graph/graph.ts";
import { type ConvSource, foldBatchNorm, torchWeights } from "../core/lowering/weights.ts";
import { productOf } from "../kernels/operators/arithmetic.ts";
import type { WgslConvOperator } from "../kernels/wgsl/conv/problem.ts";
import type { WgslDispatch } from "../kernels/wgsl/kernel.ts";
import { BINDING_ALIGNMENT, roundUp } from "./buffers.ts";

/** A part of a weight set that is bound by itself. */
export interface WeightPlace {
  readonly buffer: number;
  readonly offset: number;
  readonly bytes: number;
}

/** A block of a weight set; it is written as a whole and bound in its places. */
export type WeightBlock =
  & {
    readonly slot: string;
    readonly bytes: number;
    readonly segmentBytes: number;
    readonly places: readonly WeightPlace[];
  }
  & (
    | PackedWeights
    /** A vector as it is, padded to four. */
    | { readonly kind: "vector"; readonly name: string; readonly channels: number }
    /** One half of a batch norm: scale = weight / sqrt(variance + eps), or shift = bias - mean * scale. */
    | {
      readonly kind: "batchNorm";
      readonly norm: BatchNormNode;
      readonly half: "scale" | "shift";
      readonly channels: number;
    }
  );

export interface PackedWeights extends ConvSource {
  readonly kind: "packed";
  readonly operator: WgslConvOperator;
  /** What packs them on the device, see {@link rawPacking}; undefined: the host does. */
  readonly kernels: () => readonly WgslDispatch[] | undefined;
}

export interface WeightLayout {
  readonly blocks: readonly WeightBlock[];
  /** Bytes of each buffer. */
  readonly buffers: readonly number[];
  readonly bytes: number;
  /** Bytes on the device that a checkpoint's weights are in while they are packed. */
  readonly stagingBytes: number;
  /** Programs of equal signature read the same weight sets. */
  readonly signature: string;
}

/** Buffers of weights are about this large, so that no allocation is a huge one. */
const BUFFER_BYTES = 64 * 2 ** 20;
/** A checkpoint's weights are packed so many bytes at a time, or the largest one by itself. */
const STAGING_BYTES = 32 * 2 ** 20;

export function createWeightLayout() {
  const blocks: WeightBlock[] = [];
  const slots = new Map<string, string>();
  const ends: number[] = [];

  function place(bytes: number, segmentBytes = bytes) {
    const places: WeightPlace[] = [];
    for (let start = 0; start < bytes; start += segmentBytes) {
      const length = Math.min(segmentBytes, bytes - start);
      const last = ends.length - 1;
      const offset = last < 0 ? 0 : roundUp(ends[last], BINDING_ALIGNMENT);
      if (last < 0 || offset + length > BUFFER_BYTES) {
        places.push({ buffer: ends.push(length) - 1, offset: 0, bytes: length });
      } else {
        ends[last] = offset + length;
        places.push({ buffer: last, offset, bytes: length });
      }
    }
    return { slot: `weights:${blocks.length}`, bytes, segmentBytes, places };
  }

  function once(key: string, make: () => WeightBlock): string {
    let slot = slots.get(key);
    if (slot === undefined) {
      const block = make();
      blocks.push(block);
      slots.set(key, slot = block.slot);
    }
    return slot;
  }

  return {
    /** Slot of the next packed block. */
    next: () => `weights:${blocks.length}`,
    packed(block: Omit<PackedWeights, "kind">): void {
      const { weightBytes, weightSegmentBytes } = block.operator;
      blocks.push({ kind: "packed", ...place(weightBytes, weightSegmentBytes), ...block });
    },
    vector(name: string, channels: number): string {
      return once(name, () => ({ kind: "vector", name, channels, ...place(padToFour(channels) * 4) }));
    },
    batchNorm(norm: BatchNormNode, channels: number): { scaleSlot: string; shiftSlot: string } {
      const half = (half: "scale" | "shift") =>
        once(
          `${half} of ${norm.runningMean}`,
          () => ({ kind: "batchNorm", norm, half, channels, ...place(padToFour(channels) * 4) }),
        );
      return { scaleSlot: half("scale"), shiftSlot: half("shift") };
    },
    finish: (): WeightLayout => ({
      blocks,
      buffers: ends.map((end) => roundUp(end, BINDING_ALIGNMENT)),
      bytes: ends.reduce((sum, end) => sum + roundUp(end, BINDING_ALIGNMENT), 0),
      stagingBytes: stagingOf(blocks),
      signature: JSON.stringify(blocks.map((block) => {
        const { places } = block;
        if (block.kind === "vector") return [places, block.name];
        if (block.kind === "batchNorm") return [places, block.norm, block.half];
        return [places, block.weight ?? "identity", block.bias ?? null, packingOf(block.operator)];
      })),
    }),
  };
}

function stagingOf(blocks: readonly WeightBlock[]): number {
  const raw = blocks.map((block) => (block.kind === "packed" ? rawBytes(block) : 0));
  const all = raw.reduce((sum, bytes) => sum + bytes, 0);
  return Math.max(Math.min(STAGING_BYTES, all), ...raw);
}

/** Bytes of a weight and its bias behind one another as a checkpoint has them, each at a place that can be bound. */
export function rawBytes({ weight, weightShape, bias, biasShape }: ConvSource): number {
  const bytesOf = (shape: readonly number[]) => roundUp(4 * productOf(shape), BINDING_ALIGNMENT);
  return (weight === undefined ? 0 : bytesOf(weightShape)) + (bias === undefined ? 0 : bytesOf(biasShape));
}

/** How weights are packed: the algorithm's name without register tile and chunk, "direct", "winograd 2x4x4". */
function packingOf({ algorithm }: WgslConvOperator): string {
  const [form, scheme] = algorithm.split(" ");
  return form === "winograd" ? `${form} ${scheme}` : form;
}

/** A block's bytes from a checkpoint. @throws UserError if the checkpoint lacks a tensor */
export function packBlock(block: WeightBlock, source: WeightSource): Float32Array<ArrayBuffer> {
  const out = new Float32Array(block.bytes / 4);
  switch (block.kind) {
    case "packed": {
      const { weight, bias } = torchWeights(block, source);
      block.operator.pack(weight, bias, out);
      return out;
    }
    case "vector":
      out.set(source.get(block.name, [block.channels]));
      return out;
    case "batchNorm":
      foldBatchNorm(block.norm, block.channels, source, block.half === "scale" ? { scale: out } : { shift: out });
      return out;
  }
}
