/** Chooses how the weight gradient of a convolution is computed, by a cost model; never by threads or memory. */
import { padToFour, voxelCount } from "../../../core/base/shape.ts";
import type { KernelCall, Operator } from "../kernel.ts";
import { at, listParams } from "../params.ts";
import { BIAS_GRADIENT_PARAMS, biasGradientFinish, biasGradientParts } from "./bias_gradient_kernel.ts";
import { CORE_HERTZ } from "./cost_model.ts";
import type { WeightGradientProblem } from "./problem.ts";
import { ceilDiv, sum } from "../../operators/arithmetic.ts";
import {
  weightGradientDirectCalls,
  type WeightGradientDirectChoice,
  weightGradientDirectChoice,
} from "./plan_weight_gradient_direct.ts";
import {
  weightGradientWinogradCalls,
  type WeightGradientWinogradChoice,
  weightGradientWinogradChoice,
  weightGradientWinogradChoices,
} from "./plan_weight_gradient_winograd.ts";
import { type WeightGradientPair, weightGradientPairs } from "./weight_gradient_sides.ts";
import { gradientFlops, gradientOutputGrid } from "../../operators/conv/gradient_problem.ts";

export type WeightGradientChoice = WeightGradientDirectChoice | WeightGradientWinogradChoice;

/** Every way to compute a pair's gradient, the cheapest first. */
export function weightGradientChoices(
  problem: WeightGradientProblem,
  pair: WeightGradientPair,
): WeightGradientChoice[] {
  const choices = [weightGradientDirectChoice(problem, pair), ...weightGradientWinogradChoices(problem, pair)];
  return choices.sort((a, b) => a.cycles - b.cycles);
}

/** Voxels of a part of the bias gradient's sums, and of the short sums they are made of. */
const BIAS_PART = 4096;
const BIAS_RUN = 64;

function biasCalls(problem: WeightGradientProblem, slot: string, partsSlot: string) {
  const { outputGradient } = problem;
  const voxels = problem.batch * voxelCount(gradientOutputGrid(problem));
  const [channels] = outputGradient.parts;
  const partCount = ceilDiv(voxels, BIAS_PART);
  const params = listParams(BIAS_GRADIENT_PARAMS, {
    source: at(outputGradient.slot, outputGradient.channelOffset * 4),
    parts: at(partsSlot),
    target: at(slot),
    voxel: outputGradient.channelStride * 4,
    voxels,
    partVoxels: BIAS_PART,
    runVoxels: BIAS_RUN,
    partCount,
    channels,
  });
  const bytes = padToFour(channels) * 4;
  const calls: KernelCall[] = [
    { kernel: biasGradientParts.name, params, items: partCount, scratchBytes: 0 },
    { kernel: biasGradientFinish.name, params, items: 1, scratchBytes: bytes },
  ];
  return { calls, bytes: partCount * bytes };
}

function cheapest(problem: WeightGradientProblem, pair: WeightGradientPair): WeightGradientChoice {
  const direct = weightGradientDirectChoice(problem, pair);
  return weightGradientWinogradChoice(problem, pair, direct.cycles) ?? direct;
}

/** `choose` picks how each pair is computed; the cheapest way by default. */
export function planWeightGradient(
  problem: WeightGradientProblem,
  choose: (problem: WeightGradientProblem, pair: WeightGradientPair) => WeightGradientChoice = cheapest,
): Operator {
  const { input, outputGradient, biasGradientSlot } = problem;
  const sumsSlot = `${problem.name}.weightGradientSums`;
  const calls: KernelCall[] = [];
  const algorithms = new Set<string>();
  let [sumsBytes, cycles] = [0, 0];
  for (const pair of weightGradientPairs(problem)) {
    const choice = choose(problem, pair);
    const made = choice.kind === "direct"
      ? weightGradientDirectCalls(problem, pair, choice, sumsSlot)
      : weightGradientWinogradCalls(problem, pair, choice, sumsSlot);
    calls.push(...made.calls);
    sumsBytes = Math.max(sumsBytes, made.sumsBytes);
    cycles += choice.cycles;
    algorithms.add(choice.kind === "direct" ? "direct" : `winograd ${choice.schemes.map((s) => s.name).join("x")}`);
  }
  const temporaries: Record<string, number> = sumsBytes > 0 ? { [sumsSlot]: sumsBytes } : {};
  if (biasGradientSlot !== undefined) {
    const partsSlot = `${problem.name}.biasGradientParts`;
    const bias = biasCalls(problem, biasGradientSlot, partsSlot);
    calls.push(...bias.calls);
    temporaries[partsSlot] = bias.bytes;
  }
  const channels = [sum(input.parts), sum(outputGradient.parts)] as const;
  return {
    algorithm: `weight gradient, ${[...algorithms].join(" and ")}`,
    calls,
    temporaries,
    flops: gradientFlops(problem, ...channels),
    bytes: problem.batch * 4 *
      (voxelCount(problem.inputGrid) * channels[0] + voxelCount(gradientOutputGrid(problem)) * channels[1]),
    coreSeconds: cycles / CORE_HERTZ,
  };
}
