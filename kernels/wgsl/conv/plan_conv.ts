/** Chooses how a convolution is computed on a GPU, and lists the ways there are. Choices depend on shapes and limits alone. */
import { directTiles, planDirect, planTransposed, transposedTiles } from "./direct.ts";
import type { ConvCandidate, WgslConvOperator, WgslConvProblem, WgslTransposedConvProblem } from "./problem.ts";
import { BindingLimitError } from "./touched.ts";
import { tilesFor } from "./tiles.ts";
import { planWinograd, schemeName, winogradChoices, withChunk, withTile } from "./winograd.ts";

export type {
  ConvCandidate,
  ConvLimits,
  WgslConvOperator,
  WgslConvProblem,
  WgslTransposedConvProblem,
} from "./problem.ts";

/**
 * The candidate that is forecast to be the fastest of those the device can bind. The scheme, and with it how weights are packed, is the
 * best one of a single sample: programs of any batch read the same weights.
 * @throws RangeError if the shapes do not go together or nothing fits the device, naming the problem.
 */
export function planConv(problem: WgslConvProblem): WgslConvOperator {
  const single = firstOf(problem.name, candidatePlans({ ...problem, batch: 1 }));
  return problem.batch === 1
    ? single.operator
    : firstOf(problem.name, candidatePlans(problem, single.packing)).operator;
}

/** A transposed convolution with kernel = stride: one product, its taps scattered as they are written. @throws as {@link planConv}. */
export function planTransposedConv(problem: WgslTransposedConvProblem): WgslConvOperator {
  return firstOf(problem.name, transposedPlans(problem)).operator;
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
  /** Candidates of one packing read the same packed weights. */
  readonly packing: string;
  readonly seconds: number;
  readonly plan: () => WgslConvOperator;
}

const DIRECT = "direct";

/** A few register tiles of the direct form; the best four schemes, the best of them with other tiles and chunks. Or of one packing only. */
function candidatePlans(problem: WgslConvProblem, only?: string): Planned[] {
  const isAsked = (packing: string) => only === undefined || packing === only;
  const direct = (isAsked(DIRECT) ? directTiles(problem) : []).slice(0, 4).map(({ tile, seconds }): Planned => ({
    ...{ packing: DIRECT, seconds },
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
    ...{ packing: schemeName(choice.shape.schemes), seconds: choice.seconds },
    plan: () => planWinograd(problem, choice),
  }));
  return [...direct, ...winograd].sort((a, b) => a.seconds - b.seconds);
}

function transposedPlans(problem: WgslTransposedConvProblem): Planned[] {
  return transposedTiles(problem).map((tile) => ({
    ...{ packing: "transposed", seconds: 0 },
    plan: () => planTransposed(problem, tile),
  }));
}

/** What can be planned, or why it cannot. */
function attempt({ packing, plan }: Planned): ConvCandidate | BindingLimitError {
  try {
    const operator = plan();
    return { name: operator.algorithm, packing, operator };
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
    new RangeError(`Describing the convolution ${name}: the device has too little workgroup memory for any way`);
}

/** All that can be planned; the algorithm (scheme, register tile, chunk) tells them apart. */
function candidates(name: string, plans: readonly Planned[]): ConvCandidate[] {
  const planned = plans.map(attempt).flatMap((p) => p instanceof BindingLimitError ? [] : [p]);
  if (planned.length === 0) firstOf(name, plans);
  const seen = new Set<string>();
  return planned.filter((candidate) => !seen.has(candidate.name) && seen.add(candidate.name));
}
