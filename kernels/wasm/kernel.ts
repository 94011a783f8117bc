/**
 * What a WebAssembly kernel is to the CPU engine, and how operators are described as kernel calls.
 *
 * A kernel is an export `(params: i64, item: i32, scratch: i64) -> ()` of the one module that {@link ./module.ts} emits. `params` is the
 * byte address of its parameter block, `scratch` that of memory private to the calling thread. Items of a call are independent of
 * each other and split by shape alone, never by thread count, so results are the same for any number of threads.
 *
 * Tensors are (batch, z, y, x, channels), f32, channels padded to four; a tensor may be a channel range of a wider one (a concat).
 */

/** A parameter: plain numbers are known when the call is described, addresses only when memory has been laid out. */
export type Param =
  | { readonly type: "i32" | "f32"; readonly value: number }
  /** Byte address of a named slot plus a fixed byte offset, an i64. */
  | { readonly type: "address"; readonly slot: string; readonly offset?: number };

/** One kernel over all its items; a barrier follows. */
export interface KernelCall {
  /** Name of the module's export. */
  readonly kernel: string;
  /** Laid out in order: i32 and f32 take 4 bytes, addresses 8, aligned to their size. */
  readonly params: readonly Param[];
  readonly items: number;
  /** The first item: items firstItem to firstItem + items - 1 run. 0 by default. */
  readonly firstItem?: number;
  /** Private memory a thread needs while it runs an item; 64-byte aligned, contents undefined. */
  readonly scratchBytes: number;
}

/** An operator (a convolution, a pool, ...) as kernel calls over named memory slots. */
export interface Operator {
  /** "winograd 4x4x4", "direct", ... for reports and the bench. */
  readonly algorithm: string;
  readonly calls: readonly KernelCall[];
  /** Slots beyond the operands that must exist while the calls run: name -> bytes. Contents undefined at the start. */
  readonly temporaries: Readonly<Record<string, number>>;
  /** Multiplications and additions of the direct form. */
  readonly flops: number;
  /** Bytes of main memory it must at least move. */
  readonly bytes: number;
  /** Forecast on one core of the machine model the cost table was measured on. */
  readonly coreSeconds: number;
}

/** An operator with weights: how they are packed. */
export interface WeightedOperator extends Operator {
  readonly weightBytes: number;
  /** Transforms torch's weight and bias into the operator's form; `out` has weightBytes / 4 elements. */
  pack(weight: Float32Array, bias: Float32Array | undefined, out: Float32Array): void;
  /** The same by kernels, for all threads, where packing is costly: what an engine uses if it is there (last bits differ from `pack`). */
  readonly packing?: Packing;
}

/** Packing of weights as kernel calls that read `sourceSlot` and write the operator's weight slot. */
export interface Packing {
  /** f32: torch's weight, then as many biases as there are output channels (zeros without bias). */
  readonly sourceSlot: string;
  readonly sourceBytes: number;
  readonly calls: readonly KernelCall[];
}

/**
 * An input operand. The stored tensor is raw; the consumer applies y = v * scale + shift, then max(y, y * slope), per channel on load,
 * and pads with zeros after it. `normSlot` holds f32 [batch][3][paddedChannels]: scales, shifts, slopes; absent: values are used as stored.
 */
export interface Operand {
  readonly slot: string;
  /** Channels of the (possibly wider) tensor it is part of, padded to four: the distance of two voxels. */
  readonly channelStride: number;
  /** First channel of the range; a multiple of four. */
  readonly channelOffset: number;
  /** Channels of each concatenated part, not padded; in memory every part is padded to four on its own, padding lanes hold zeros. */
  readonly parts: readonly number[];
  /** Parts from `firstPart` on lie in another tensor of the same grid; only convolutions read such operands. */
  readonly second?: SecondTensor;
  readonly normSlot?: string;
}

/** Where the later parts of an operand lie. */
export interface SecondTensor {
  readonly slot: string;
  readonly channelStride: number;
  readonly channelOffset: number;
  readonly firstPart: number;
}

/** An output operand; always written raw, its padding lanes as zeros. */
export interface Target {
  readonly slot: string;
  readonly channelStride: number;
  readonly channelOffset: number;
  readonly channels: number;
  /**
   * Where the epilogue leaves statistics of what it wrote: f32 [batch][parts][1 + 2 * padded channels], a part being voxel count, means, M2s.
   * `parts` of {@link OutputStatistics} says how many there are.
   */
  readonly statisticsSlot?: string;
}

/** Size of the statistics an operator emits. */
export interface OutputStatistics {
  readonly parts: number;
  readonly bytes: number;
}
