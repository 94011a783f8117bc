/** Chooses how a convolution is computed on a GPU, and lists the ways there are. Choices depend on shapes and limits alone. */
import { padToFour } from "../../../core/base/shape.ts";
import { allOf, firstOf, preferring, type Way } from "./candidates.ts";
import { directTiles, planDirect, planTransposed, transposedTiles } from "./direct.ts";
import {
  type ConvCandidate,
  type WgslConvOperator,
  type WgslConvProblem,
  type WgslTransposedConvProblem,
} from "./problem.ts";
import { channelLayout } from "../../operators/tensor.ts";
import { productOf } from "../../operators/arithmetic.ts";
import { type GemmTile, tileName } from "./gemm.ts";
import { NOMINAL, tilesFor, withFewSums } from "./tiles.ts";
import {
  planWinograd,
  schemeName,
  winogradChoices,
  winogradName,
  withChunk,
  withStorages,
  withTile,
} from "./winograd.ts";
import type { WeightGradientProblem } from "./weight_gradient_problem.ts";
import { weightCount } from "../../operators/conv/scheme.ts";

/** What there are several ways for. */
export type MeasuredProblem = WgslConvProblem | WgslTransposedConvProblem | WeightGradientProblem;

/** The name of the candidate that was measured to be the fastest for a problem, if any was. */
export type WantedCandidate = (problem: MeasuredProblem) => string | undefined;

const NOTHING_WANTED: WantedCandidate = () => undefined;

/**
 * The candidate that is wanted, else the one forecast to be the fastest, of those the device can bind. The scheme, and with it how weights
 * are packed, is the best one of a single sample: programs of any batch read the same weights.
 * @throws RangeError if the shapes do not go together or nothing fits the device, naming the problem.
 */
export function planConv(problem: WgslConvProblem, wanted = NOTHING_WANTED): WgslConvOperator {
  const one = { ...problem, batch: 1 };
  const single = firstOf(problem, preferring(wanted(one), convWays(one)));
  if (problem.batch === 1) return single.operator;
  const plans = convWays(problem, single.packing);
  return firstOf(problem, preferring(wanted(problem) ?? wanted(one), plans)).operator;
}

/**
 * As {@link planConv}, for weights that are packed anew in every training step, on the device: the batch alone decides, and what packing
 * writes counts. Data gradients too, whose `accumulate` decides nothing.
 * @throws as {@link planConv}; BindingLimitError if there is no way to compute it as a convolution
 */
export function planTrainedConv(problem: WgslConvProblem, wanted = NOTHING_WANTED): WgslConvOperator {
  return firstOf(problem, preferring(wanted(problem), trainedWays(problem))).operator;
}

/** The ways worth measuring of a convolution of a training. @throws as {@link planTrainedConv} */
export function trainedConvCandidates(problem: WgslConvProblem): ConvCandidate[] {
  return allOf(problem, trainedWays(problem));
}

function trainedWays(problem: WgslConvProblem): ConvWay[] {
  const inputs = channelLayout(problem.input.parts).padded;
  const matrixBytes = 4 * inputs * padToFour(problem.outputChannels);
  const seconds = (plan: ConvWay) => plan.seconds + plan.matrices * matrixBytes / NOMINAL.memory;
  return convWays(problem).sort((a, b) => seconds(a) - seconds(b));
}

/** A transposed convolution with kernel = stride: one product, its taps scattered as they are written. @throws as {@link planConv}. */
export function planTransposedConv(problem: WgslTransposedConvProblem, wanted = NOTHING_WANTED): WgslConvOperator {
  const name = wanted(problem) ?? wanted({ ...problem, batch: 1 });
  return firstOf(problem, preferring(name, transposedWays(problem))).operator;
}

/** The ways worth measuring, the one forecast to be the fastest first. @throws as {@link planConv}. */
export function convCandidates(problem: WgslConvProblem): ConvCandidate[] {
  return allOf(problem, convWays(problem));
}

/** As {@link convCandidates}: register tiles. */
export function transposedConvCandidates(problem: WgslTransposedConvProblem): ConvCandidate[] {
  return allOf(problem, withFewSums(transposedWays(problem), 4));
}

/** A way of a convolution. */
interface ConvWay extends Way {
  /** Ways of one packing read the same packed weights. */
  readonly packing: string;
  /** Matrices of input by output channels that packing writes. */
  readonly matrices: number;
  readonly plan: () => WgslConvOperator;
}

const DIRECT = "direct";
/** How much more or less than what a usual cache holds a chunk may be, for measuring; the last one is all of it. */
const CHUNK_FACTORS = [0.25, 0.5, 2, 4, 8, Infinity];

/** A few register tiles of the direct form; the best four schemes, the best of them with other tiles and chunks. Or of one packing only. */
function convWays(problem: WgslConvProblem, only?: string): ConvWay[] {
  const isAsked = (packing: string) => only === undefined || packing === only;
  // The data gradient of a strided convolution is one in the transform domain alone.
  const hasDirect = isAsked(DIRECT) && problem.gradientGrid === undefined;
  const matrices = productOf(problem.kernel);
  const direct = withFewSums(hasDirect ? directTiles(problem) : [], 4).map(({ tile, seconds }): ConvWay => ({
    name: `direct ${tileName(tile)}`,
    packing: DIRECT,
    seconds,
    matrices,
    plan: () => planDirect(problem, tile),
  }));
  const choices = winogradChoices(problem).filter(({ shape }) => isAsked(schemeName(shape.schemes))).slice(0, 4);
  const [best] = choices;
  const variants = best === undefined ? [] : [
    ...withFewSums(
      tilesFor(best.shape.outputBlocks, problem.limits, () => 0).map((tile) => withTile(problem, best, tile))
        .sort((a, b) => a.seconds - b.seconds),
      4,
    ).slice(1),
    ...withStorages(problem, best),
    ...CHUNK_FACTORS.map((factor) => withChunk(problem, best, best.chunk * factor)),
  ];
  const winograd = [...choices, ...variants].map((choice): ConvWay => ({
    name: winogradName(choice),
    packing: schemeName(choice.shape.schemes),
    seconds: choice.seconds,
    matrices: weightCount(choice.shape.schemes),
    plan: () => planWinograd(problem, choice),
  }));
  return [...direct, ...winograd].sort((a, b) => a.seconds - b.seconds);
}

function transposedWays(problem: WgslTransposedConvProblem) {
  return transposedTiles(problem).map((tile): ConvWay & { readonly tile: GemmTile } => ({
    tile,
    name: `transposed ${tileName(tile)}`,
    packing: "transposed",
    seconds: 0,
    matrices: 0,
    plan: () => planTransposed(problem, tile),
  }));
}
