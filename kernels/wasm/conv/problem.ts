/** What a convolution is to the CPU's planner, and what it makes of it. */
import type { Vec3 } from "../../../core/base/shape.ts";
import { convOutputGrid, type ConvProblemOf } from "../../operators/conv/problem.ts";
import type { DataGradientProblemOf, WeightGradientProblemOf } from "../../operators/conv/gradient_problem.ts";
import type { OutputStatistics } from "../../operators/tensor.ts";
import type { KernelCall, Operand, Target, WeightedOperator } from "../kernel.ts";

export interface ConvProblem extends ConvProblemOf<Operand, Target> {
  /** For data gradients: what they do otherwise than a convolution. */
  readonly gradient?: GradientForm;
}

/** Transposed convolution with kernel = stride and no padding. Weight (in, out, sz, sy, sx), bias (out). */
export type TransposedConvProblem = Omit<ConvProblem, "kernel">;

export type WeightGradientProblem = WeightGradientProblemOf<Operand, Operand>;

/** Where dL/dv goes: the channels of each part in turn, padding lanes as zeros. */
export type GradientTarget = Omit<Operand, "normSlot">;

export type DataGradientProblem = DataGradientProblemOf<Operand, GradientTarget>;

/**
 * How a convolution of dL/dy computes dL/dv: its weights are flipped, inputs and outputs swapped. Direct forms have `kernel` and `stride`
 * of what they compute; transform-domain forms those of the convolution whose gradient it is.
 */
export interface GradientForm {
  /** The voxels it computes: every `spread`-th of `targetGrid` from `origin` on. */
  readonly outputGrid: Vec3;
  readonly targetGrid: Vec3;
  readonly spread: Vec3;
  readonly origin: Vec3;
  /** Padding before the first voxel; negative: voxels skipped. */
  readonly pad: Vec3;
  /** True: added to what is there. */
  readonly accumulate: boolean;
}

/** A convolution as kernel calls; `statistics` is there if the problem asked for them. */
export interface ConvOperator extends WeightedOperator {
  readonly statistics?: OutputStatistics;
  /** How the items of its one call lie along z, for a sample; items of several samples follow each other. */
  readonly rows?: readonly ItemRow[];
  /** The same with weights packed in every run, some output channels at a time, so that less memory is needed at once. */
  readonly inGroups?: GroupedCalls;
}

/** Calls that pack weights and use them, group of output channels after group; `temporaries` have the weight slot among them. */
export interface GroupedCalls {
  readonly calls: readonly KernelCall[];
  readonly temporaries: Readonly<Record<string, number>>;
}

/** Items that follow each other and lie side by side along z. */
export interface ItemRow {
  readonly items: number;
  /** Planes of the input that they read, and of the output that they write: [from, to). */
  readonly reads: readonly [number, number];
  readonly writes: readonly [number, number];
}

/** Grid of what a problem computes. */
export function outputGridOf({ inputGrid, kernel, stride, gradient }: ConvProblem): Vec3 {
  return gradient?.outputGrid ?? convOutputGrid(inputGrid, kernel, stride);
}

/** Padding before the first voxel along each axis. */
export function padOf({ kernel, gradient }: ConvProblem): Vec3 {
  return gradient?.pad ?? [(kernel[0] - 1) >> 1, (kernel[1] - 1) >> 1, (kernel[2] - 1) >> 1];
}
