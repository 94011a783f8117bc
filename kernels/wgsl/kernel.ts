/**
 * What a WGSL kernel is to the GPU engine, and how operators are described as dispatches. A kernel is plain data: the whole text of one
 * module with an entry point `main`, what it binds, and how many workgroups it runs.
 *
 * Tensors are f32 or f16, read as vec4, and may span several bindings where a device binds less than they are long.
 */
import type { OperatorReport, WeightPacker } from "../operators/operator.ts";
import type { OperandRange, TargetRange } from "../operators/tensor.ts";

/** How a slot is seen by a kernel: one storage binding per segment. */
export interface Binding {
  readonly slot: string;
  readonly access: "read" | "read_write";
  /** Which segment of the slot (see {@link SlotLayout}). */
  readonly segment: number;
}

/** Where a slot's vec4 elements are: element i lies in segment i / segmentLength. One segment unless the device's binding limit asks for more. */
export interface SlotLayout {
  readonly slot: string;
  /** Elements of the storage array (vec4 of `type`, or what the kernel says). */
  readonly length: number;
  readonly type: "f32" | "f16";
  readonly segments: number;
  readonly segmentLength: number;
}

/** Bytes of a number. */
export const SCALAR_BYTES = { f32: 4, f16: 2 } as const;

/** One dispatch. Dispatches of an operator run in order, each seeing what the former ones wrote. */
export interface WgslDispatch {
  /** For errors and timings: "winograd input transform 4x4x4". */
  readonly name: string;
  /** The module; bindings are @group(0) @binding(0..n-1) in the order of `bindings`, then the uniform block, if any. */
  readonly code: string;
  readonly bindings: readonly Binding[];
  /** Contents of the uniform block, 16-byte aligned in size: offsets, shapes and the like: one pipeline serves many dispatches. */
  readonly uniforms?: readonly { readonly type: "u32" | "i32" | "f32"; readonly value: number }[];
  /** Each at most 65535. */
  readonly workgroups: readonly [number, number, number];
}

/** An operator as dispatches over named slots. */
export interface WgslOperator extends OperatorReport {
  readonly dispatches: readonly WgslDispatch[];
}

/** An operator with weights: how torch's are packed for it, on the host. */
export interface WeightedWgslOperator extends WgslOperator, WeightPacker {}

/** An input operand. */
export interface WgslOperand extends OperandRange {
  readonly layout: SlotLayout;
}

/** An output operand. */
export interface WgslTarget extends TargetRange {
  readonly layout: SlotLayout;
}
