/**
 * What a WebAssembly kernel is to the CPU engine, and how operators are described as kernel calls.
 *
 * A kernel is an export `(params: i64, item: i32, scratch: i64) -> ()` of the one module that {@link ./module.ts} emits. `params` is the
 * byte address of its parameter block, `scratch` that of memory private to the calling thread. Items of a call are independent of
 * each other and split by shape alone, never by thread count, so results are the same for any number of threads.
 */
import type { OperatorReport, WeightPacker } from "../operators/operator.ts";
import type { ChannelRange, OperandRange, TargetRange } from "../operators/tensor.ts";

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
export interface Operator extends OperatorReport {
  readonly calls: readonly KernelCall[];
  /** Forecast on one core of the machine model the cost table was measured on. */
  readonly coreSeconds: number;
}

/** An operator with weights: how they are packed. */
export interface WeightedOperator extends Operator, WeightPacker {
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

/** An input operand, f32. */
export interface Operand extends OperandRange {
  readonly slot: string;
  /** Parts from `firstPart` on lie in another tensor of the same grid; only convolutions read such operands. */
  readonly second?: SecondTensor;
}

/** Where the later parts of an operand lie. */
export interface SecondTensor extends ChannelRange {
  readonly slot: string;
  readonly firstPart: number;
}

/** An output operand, f32. */
export interface Target extends TargetRange {
  readonly slot: string;
}
