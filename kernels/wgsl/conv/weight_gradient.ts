/**
 * Chooses how the weight gradient of a convolution is computed, as plan_conv.ts does for the convolution itself: directly, tap by tap
 * (weight_gradient_direct.ts), or in the transform domain (weight_gradient_winograd.ts). The bias gradient, plain sums of dL/dy, comes along.
 */
import { voxelCount } from "../../../core/base/shape.ts";
import { u32 } from "../emit/thread_kernel.ts";
import { planChunkSums, planSumsFinish, sumsBytes } from "../training/sums.ts";
import { blocksOf, voxelView } from "../training/tensors.ts";
import { allOf, firstOf, preferring, type Way } from "./candidates.ts";
import type { WantedCandidate } from "./plan_conv.ts";
import { gradientOutputGrid } from "../../operators/conv/gradient_problem.ts";
import { planWeightGradientDirect, weightGradientDirectChoices } from "./weight_gradient_direct.ts";
import type { WeightGradientOperator, WeightGradientProblem } from "./weight_gradient_problem.ts";
import {
  planWeightGradientWinograd,
  weightGradientWinogradChoices,
  weightGradientWinogradName,
  withWeightGradientChunk,
  withWeightGradientStorages,
} from "./weight_gradient_winograd.ts";

interface WeightGradientWay extends Way {
  readonly plan: () => WeightGradientOperator;
}

/** A way to compute a weight gradient. */
export interface WeightGradientCandidate {
  readonly name: string;
  readonly operator: WeightGradientOperator;
}

const BIAS_PARTS = "bias gradient parts";

/**
 * The way that is wanted (measured to be the fastest), else the one forecast to be.
 * @throws BindingLimitError if nothing fits the device, naming the problem.
 */
export function planWeightGradient(
  problem: WeightGradientProblem,
  wanted: WantedCandidate = () => undefined,
): WeightGradientOperator {
  const { operator } = firstOf(problem, preferring(wanted(problem), weightGradientWays(problem)));
  if (problem.biasGradientSlot === undefined) return operator;
  const bias = biasGradient(problem, problem.biasGradientSlot);
  return {
    ...operator,
    dispatches: [...operator.dispatches, ...bias.dispatches],
    temporaries: { ...operator.temporaries, ...bias.temporaries },
  };
}

/** The ways worth measuring, without the bias, the one forecast to be the fastest first. @throws as {@link planWeightGradient} */
export function weightGradientCandidates(problem: WeightGradientProblem): WeightGradientCandidate[] {
  return allOf(problem, weightGradientWays(problem));
}

/** The direct form with large and small tiles; the best four schemes, the best of them with small tiles and other chunks. */
function weightGradientWays(problem: WeightGradientProblem): WeightGradientWay[] {
  const direct = weightGradientDirectChoices(problem).map((choice): WeightGradientWay => ({
    name: choice.name,
    seconds: choice.seconds,
    plan: () => planWeightGradientDirect(problem, choice),
  }));
  const choices = weightGradientWinogradChoices(problem).slice(0, 4);
  const variants = choices.slice(0, 1).flatMap((best) => [
    ...weightGradientWinogradChoices(problem, 8).filter(({ schemes }) =>
      schemes.every((s, i) => s === best.schemes[i])
    ),
    ...withWeightGradientStorages(problem, best),
    ...[0.5, 2].flatMap((factor) => withWeightGradientChunk(problem, best, best.chunk * factor) ?? []),
  ]);
  const winograd = [...choices, ...variants].map((choice): WeightGradientWay => ({
    name: weightGradientWinogradName(choice),
    seconds: choice.seconds,
    plan: () => planWeightGradientWinograd(problem, choice),
  }));
  return [...direct, ...winograd].sort((a, b) => a.seconds - b.seconds);
}

function biasGradient({ batch, outputGradient, limits, ...problem }: WeightGradientProblem, gradientSlot: string) {
  const voxels = voxelCount(gradientOutputGrid({ ...problem, batch }));
  const shape = { batch, voxels, blocks: blocksOf(outputGradient), quantities: 1 };
  const { channelStride, channelOffset, channels } = outputGradient;
  const name = "bias gradient";
  return {
    dispatches: [
      ...planChunkSums({
        ...shape,
        name,
        limits,
        partsSlot: BIAS_PARTS,
        viewsOf: (range) => [voxelView("gradient", outputGradient, "read", range)],
        uniforms: { stride: u32(channelStride / 4), offset: u32(channelOffset / 4) },
        body: "sum_0 += load_gradient(voxel * p.stride + p.offset + block);",
      }),
      planSumsFinish({ ...shape, name, channels, partsSlot: BIAS_PARTS, gradientSlots: [gradientSlot] }),
    ],
    temporaries: { [BIAS_PARTS]: sumsBytes(shape).parts },
  };
}
