/**
 * The gradients of a convolution as problems: shapes and slots, nothing about how they are computed. A convolution reads v, its input
 * operand with norm and slope applied, and writes y; given dL/dy, the weight gradient is dL/dw and dL/db, the data gradient dL/dv.
 */
import type { Vec3 } from "../../../core/base/shape.ts";
import type { Operand } from "../../wasm/kernel.ts";

/** The convolution whose gradient is taken. */
export interface GradientProblem {
  /** For reports: "encoder.stages.0.0.convs.0.conv". */
  readonly name: string;
  readonly batch: number;
  /** Grid of what the convolution read. */
  readonly inputGrid: Vec3;
  readonly kernel: Vec3;
  readonly stride: Vec3;
  /** A transposed convolution: kernel = stride, no padding; otherwise padding (kernel-1)/2. */
  readonly transposed: boolean;
}

export interface WeightGradientProblem extends GradientProblem {
  /** The operand as the forward pass read it, its norm table included. */
  readonly input: Operand;
  /** dL/dy, raw: no norm table, one part, padding lanes zero. */
  readonly outputGradient: Operand;
  /** f32, torch's layout: (out, in, kz, ky, kx), transposed (in, out, sz, sy, sx). Overwritten. */
  readonly weightGradientSlot: string;
  /** f32 (out). Overwritten; absent: not computed. */
  readonly biasGradientSlot?: string;
}

/** Where dL/dv goes: the channels of each part in turn, padding lanes as zeros. */
export type GradientTarget = Omit<Operand, "normSlot">;

export interface DataGradientProblem extends GradientProblem {
  /** dL/dy, raw: no norm table, one part, padding lanes zero. */
  readonly outputGradient: Operand;
  /** f32, torch's layout as above. */
  readonly weightSlot: string;
  /** Its parts are those of the forward input. */
  readonly inputGradient: GradientTarget;
  /** True: added to what is there; false: it is overwritten. */
  readonly accumulate: boolean;
}
