/**
 * The gradients of a convolution as problems: shapes and slots, nothing about how they are computed. A convolution reads v, its input
 * operand with norm and slope applied, and writes y; given dL/dy, the weight gradient is dL/dw and dL/db, the data gradient dL/dv.
 */
import { type Vec3, voxelCount } from "../../../core/base/shape.ts";
import type { GradientProblem } from "../../../core/graph/problems.ts";
import { convOutputGrid } from "./problem.ts";

/** dL/dw[o][i][tap] = sum over samples and voxels v of dL/dy[v][o] in[v * stride + tap - pad][i]. */
export interface WeightGradientProblemOf<Input, Gradient> extends GradientProblem {
  /** The operand as the forward pass read it, its norm table included. */
  readonly input: Input;
  /** dL/dy, raw: no norm table, one part, padding lanes zero. */
  readonly outputGradient: Gradient;
  /** f32, torch's layout: (out, in, kz, ky, kx), transposed (in, out, sz, sy, sx). Overwritten. */
  readonly weightGradientSlot: string;
  /** f32 (out). Overwritten; absent: not computed. */
  readonly biasGradientSlot?: string;
}

export interface DataGradientProblemOf<Gradient, Target> extends GradientProblem {
  /** dL/dy, raw: no norm table, one part, padding lanes zero. */
  readonly outputGradient: Gradient;
  /** f32, torch's layout as above. */
  readonly weightSlot: string;
  /** Where dL/dv goes: the channels of each part of the forward input in turn, padding lanes as zeros. */
  readonly inputGradient: Target;
  /** True: added to what is there; false: it is overwritten. */
  readonly accumulate: boolean;
}

/** Grid of what the convolution wrote. */
export function gradientOutputGrid({ inputGrid, kernel, stride, transposed }: GradientProblem): Vec3 {
  return transposed
    ? [inputGrid[0] * stride[0], inputGrid[1] * stride[1], inputGrid[2] * stride[2]]
    : convOutputGrid(inputGrid, kernel, stride);
}

/** The convolution's padding before the first voxel along each axis. */
export function gradientPad({ kernel, transposed }: GradientProblem): Vec3 {
  const pad = (taps: number) => transposed ? 0 : (taps - 1) >> 1;
  return [pad(kernel[0]), pad(kernel[1]), pad(kernel[2])];
}

/** Multiplications and additions of the direct form of either gradient. */
export function gradientFlops(problem: GradientProblem, inputs: number, outputs: number): number {
  const walked = problem.transposed ? problem.inputGrid : gradientOutputGrid(problem);
  return 2 * problem.batch * voxelCount(walked) * voxelCount(problem.kernel) * inputs * outputs;
}
