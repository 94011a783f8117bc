/** What the weight gradient of a convolution is to its planners. */
import type { Cost } from "../../operators/operator.ts";
import { padToFour, voxelCount } from "../../../core/base/shape.ts";
import type { WgslOperand, WgslOperator } from "../kernel.ts";
import { elementBytes, type TensorRange } from "../training/tensors.ts";
import { type ConvLimits } from "./problem.ts";
import { paddedChannels } from "../../operators/tensor.ts";
import {
  gradientFlops,
  gradientOutputGrid,
  type WeightGradientProblemOf,
} from "../../operators/conv/gradient_problem.ts";
import { sum } from "../../operators/arithmetic.ts";

export interface WeightGradientProblem extends WeightGradientProblemOf<WgslOperand, TensorRange> {
  readonly limits: ConvLimits;
}

export interface WeightGradientOperator extends WgslOperator {
  /** Forecast for a nominal large GPU. */
  readonly seconds: number;
}

/** Sums of parts of the voxels, before they are added. */
export const PARTS_SLOT = "weight gradient parts";

/** Multiplications and additions of the direct form; bytes of both tensors. */
export function weightGradientCosts(problem: WeightGradientProblem): Cost {
  const { batch, inputGrid, input, outputGradient } = problem;
  const [inputVoxels, outputVoxels] = [inputGrid, gradientOutputGrid(problem)].map((grid) => batch * voxelCount(grid));
  return {
    flops: gradientFlops(problem, sum(input.parts), outputGradient.channels),
    bytes: inputVoxels * paddedChannels(input) / 4 * elementBytes(input) +
      outputVoxels * padToFour(outputGradient.channels) / 4 * elementBytes(outputGradient),
  };
}

/** Where the channel `channel` of concatenated parts is in memory: an expression. */
export function positionText(parts: readonly number[]): string {
  let text = "channel";
  let [end, gap] = [0, 0];
  for (const part of parts.slice(0, -1)) {
    end += part;
    gap += padToFour(part) - part;
    text = `select(${text}, channel + ${gap}u, channel >= ${end}u)`;
  }
  return text;
}
