/** What the weight gradient of a convolution is to its planners. */
import { padToFour, voxelCount } from "../../../core/base/shape.ts";
import type { WgslOperand, WgslOperator } from "../kernel.ts";
import { elementBytes, type TensorRange } from "../training/tensors.ts";
import { channelLayout, type ConvLimits, gradientOutputGrid, type GradientProblem, productOf } from "./problem.ts";

/** dL/dw[o][i][tap] = sum over samples and voxels v of dL/dy[v][o] in[v * stride + tap - pad][i]. */
export interface WeightGradientProblem extends GradientProblem {
  /** The operand as the forward pass read it, its norm table included. */
  readonly input: WgslOperand;
  /** dL/dy, padding lanes zero. */
  readonly outputGradient: TensorRange;
  /** f32, torch's layout: (out, in, kz, ky, kx), transposed (in, out, sz, sy, sx). Overwritten. */
  readonly weightGradientSlot: string;
  /** f32 (out). Overwritten; absent: not computed. */
  readonly biasGradientSlot?: string;
  readonly limits: ConvLimits;
}

export interface WeightGradientOperator extends WgslOperator {
  /** Forecast for a nominal large GPU. */
  readonly seconds: number;
}

/** Sums of parts of the voxels, before they are added. */
export const PARTS_SLOT = "weight gradient parts";

/** Multiplications and additions of the direct form; bytes of both tensors. */
export function weightGradientCosts(
  problem: WeightGradientProblem,
): { readonly flops: number; readonly bytes: number } {
  const { batch, inputGrid, input, outputGradient, kernel, transposed } = problem;
  const [inputVoxels, outputVoxels] = [inputGrid, gradientOutputGrid(problem)].map((grid) => batch * voxelCount(grid));
  const inputs = input.parts.reduce((a, b) => a + b);
  const walked = transposed ? inputVoxels : outputVoxels;
  return {
    flops: 2 * walked * productOf(kernel) * inputs * outputGradient.channels,
    bytes: inputVoxels * channelLayout(input.parts).padded / 4 * elementBytes(input) +
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
