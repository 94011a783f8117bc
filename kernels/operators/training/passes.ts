/** Gradients of what has no parameters: a slope, a copy, a residual sum, an average pool. */
import { padToFour, type Vec3, voxelCount } from "../../../core/base/shape.ts";
import type { Cost } from "../operator.ts";
import type { TensorRange } from "../tensor.ts";

/** target (+)= source * (sign > 0 ? 1 : slope). */
export interface GradientPassOf<Tensor> {
  readonly batch: number;
  readonly voxels: number;
  readonly source: Tensor;
  /** May be the source. */
  readonly target: Tensor;
  /** Values whose sign decides whether the slope applies; absent: the gradient passes as it is. */
  readonly sign?: Tensor;
  readonly slope: number;
  /** True: added to the target. */
  readonly accumulate: boolean;
}

/** Every voxel of a window gets an equal share; rests that the pool dropped get 0. */
export interface PoolBackwardOf<Tensor> {
  readonly batch: number;
  /** Grid of the pool's input. */
  readonly grid: Vec3;
  readonly stride: Vec3;
  readonly outputGradient: Tensor;
  readonly inputGradient: Tensor;
  readonly accumulate: boolean;
}

/** `bytes`: of a number of either gradient. */
export function poolBackwardCost({ batch, grid, inputGradient }: PoolBackwardOf<TensorRange>, bytes: number): Cost {
  const elements = batch * voxelCount(grid) * padToFour(inputGradient.channels);
  return { flops: elements, bytes: elements * 2 * bytes };
}
