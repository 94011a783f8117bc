/** Chooses how a convolution is computed on a GPU, and lists the ways there are. Choices depend on shapes and limits alone. */
import { padToFour } from "../../../core/base/shape.ts";
import { directTiles, planDirect, planTransposed, transposedTiles } from "./direct.ts";
import {
  channelLayout,
  type ConvCandidate,
  productOf,
  type WgslConvOperator,
  type WgslConvProblem,
  type WgslTransposedConvProblem,
} from "./problem.ts";
import { BindingLimitError } from "./touched.ts";
import { tileName } from "./gemm.ts";
import { NOMINAL, tilesFor } from "./tiles.ts";
import { planWinograd, schemeName, winogradChoices, winogradName, withChunk, withTile } from "./winograd.ts";
import { weightCount } from "./winograd_shape.ts";

export type {
  ConvCandidate,
  ConvLimits,
  WgslConvOperator,
  WgslConvProblem,
  WgslTransposedConvProblem,
} from "./problem.ts";

/** The name of the candidate that was measured to be the fastest for a problem, if any was. */
export type WantedCandidate = (problem: WgslConvProblem | WgslTransposedConvProblem) => string | undefined;

const NOTHING_WANTED: WantedCandidate = () => undefined;

/**
 * The candidate that is wanted, else the one forecast to be the fastest, of those the device can bind. The scheme, and with it how weights
 * are packed, is the best one of a single sample: programs of any batch read the same weights.
 * @throws RangeError if the shapes do not go together or nothing fits the device, naming the problem.
 */
export function planConv(problem: WgslConvProblem, wanted = NOTHING_WANTED): WgslConvOperator {
  const one = { ...problem, batch: 1 };
  const single = firstOf(problem.name, preferring(wanted(one), candidatePlans(one)));
  if (problem.batch === 1) return single.operator;
  const plans = candidatePlans(problem, single.packing);
  return firstOf(problem.name, preferring(wanted(problem) ?? wanted(one), plans)).operator;
}

/**
 * As {@link planConv}, for weights that are packed anew in every training step, on the device: the batch alone decides, and what packing
 * writes counts. Data gradients too, whose `accumulate` decides nothing.
 * @throws as {@link planConv}; BindingLimitError if there is no way to compute it as a convolution
 */
export function planTrainedConv(problem: WgslConvProblem, wanted = NOTHING_WANTED): WgslConvOperator {
  return firstOf(problem.name, preferring(wanted(problem), trainedPlans(problem))).operator;
}

/** The ways worth measuring of a convolution of a training. @throws as {@link planTrainedConv} */
export function trainedConvCandidates(problem: WgslConvProblem): ConvCandidate[] {
  return candidates(problem.name, trainedPlans(problem));
}

function trainedPlans(problem: WgslConvProblem): Planned[] {
  const inputs = channelLayout(problem.input.parts).padded;
  const matrixBytes = 4 * inputs * padToFour(problem.outputChannels);
  const seconds = (plan: Planned) => plan.seconds + plan.matrices * matrixBytes / NOMINAL.memory;
  return candidatePlans(problem).sort((a, b) => seconds(a) - seconds(b));
}

/** A transposed convolution with kernel = stride: one product, its taps scattered as they are written. @throws as {@link planConv}. */
export function planTransposedConv(problem: WgslTransposedConvProblem, wanted = NOTHING_WANTED): WgslConvOperator {
  const name = wanted(problem) ?? wanted({ ...problem, batch: 1 });
  return firstOf(problem.name, preferring(name, transposedPlans(problem))).operator;
}

/** The wanted way first: the very one, else the one that differs in its chunk alone (another batch has others). */
function preferring(wanted: string | undefined, plans: readonly Planned[]): readonly Planned[] {
  if (wanted === undefined) return plans;
  const withoutChunk = (name: string) => name.replace(/ by \d+$/, "");
  const first = plans.find(({ name }) => name === wanted) ??
    plans.find(({ name }) => withoutChunk(name) === withoutChunk(wanted));
  return first ? [first, ...plans] : plans;
}

/** The ways worth measuring, the one forecast to be the fastest first. @throws as {@link planConv}. */
export function convCandidates(problem: WgslConvProblem): ConvCandidate[] {
  return candidates(problem.name, candidatePlans(problem));
}

/** As {@link convCandidates}: register tiles. */
export function transposedConvCandidates(problem: WgslTransposedConvProblem): ConvCandidate[] {
  return candidates(problem.name, transposedPlans(problem).slice(0, 4));
}

interface Planned {
  /** The operator's algorithm. */
  readonly name: string;
  /** Candidates of one packing read the same packed weights. */
  readonly packing: string;
  readonly seconds: number;
  /** Matrices of input by output channels that packing writes. */
  readonly matrices: number;
  readonly plan: () => WgslConvOperator;
}

const DIRECT = "direct";

/** A few register tiles of the direct form; the best four schemes, the best of them with other tiles and chunks. Or of one packing only. */
function candidatePlans(problem: WgslConvProblem, only?: string): Planned[] {
  const isAsked = (packing: string) => only === undefined || packing === only;
  // The data gradient of a strided convolution is one in the transform domain alone.
  const hasDirect = isAsked(DIRECT) && problem.gradientGrid === undefined;
  const matrices = productOf(problem.kernel);
  const direct = (hasDirect ? directTiles(problem) : []).slice(0, 4).map(({ tile, seconds }): Planned => ({
    ...{ name: `direct ${tileName(tile)}`, packing: DIRECT, seconds, matrices },
    plan: () => planDirect(problem, tile),
  }));
  const choices = winogradChoices(problem).filter(({ shape }) => isAsked(schemeName(shape.schemes))).slice(0, 4);
  const [best] = choices;
  const variants = best === undefined ? [] : [
    ...tilesFor(best.shape.outputBlocks, problem.limits, () => 0).map((tile) => withTile(problem, best, tile))
      .sort((a, b) => a.seconds - b.seconds).slice(1, 4),
    ...[0.5, 2].map((factor) => withChunk(problem, best, best.chunk * factor)),
  ];
  const winograd = [...choices, ...variants].map((choice): Planned => ({
    ...{ name: winogradName(choice), packing: schemeName(choice.shape.schemes), seconds: choice.seconds },
    matrices: weightCount(choice.shape.schemes),
    plan: () => planWinograd(problem, choice),
  }));
  return [...direct, ...winograd].sort((a, b) => a.seconds - b.seconds);
}

function transposedPlans(problem: WgslTransposedConvProblem): Planned[] {
  return transposedTiles(problem).map((tile) => ({
    ...{ name: `transposed ${tileName(tile)}`, packing: "transposed", seconds: 0, matrices: 0 },
    plan: () => planTransposed(problem, tile),
  }));
}

/** What can be planned, or why it cannot. */
function attempt({ name, packing, plan }: Planned): ConvCandidate | BindingLimitError {
  try {
    return { name, packing, operator: plan() };
  } catch (error) {
    if (error instanceof BindingLimitError) return error;
    throw error;
  }
}

function firstOf(name: string, plans: readonly Planned[]): ConvCandidate {
  let refused: BindingLimitError | undefined;
  for (const plan of plans) {
    const planned = attempt(plan);
    if (!(planned instanceof BindingLimitError)) return planned;
    refused ??= planned;
  }
  throw refused ??
    new BindingLimitError(`Describing the convolution ${name}: the device has too little workgroup memory for any way`);
}

/** All that can be planned; the algorithm (scheme, register tile, chunk) tells them apart. */
function candidates(problem: string, plans: readonly Planned[]): ConvCandidate[] {
  const distinct = plans.filter((plan, i) => plans.findIndex(({ name }) => name === plan.name) === i);
  const planned = distinct.map(attempt).flatMap((p) => p instanceof BindingLimitError ? [] : [p]);
  if (planned.length === 0) firstOf(problem, plans);
  return planned;
}
