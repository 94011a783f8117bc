/** Chooses how a convolution is computed on a GPU, and lists the ways there are. Choices depend on shapes and limits alone. */
import { directTiles, planDirect, planTransposed, transposedTiles } from "./direct.ts";
import type { ConvCandidate, WgslConvOperator, WgslConvProblem, WgslTransposedConvProblem } from "./problem.ts";
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
 * The candidate that is forecast to be the fastest. The scheme, and with it how weights are packed, is the best one of a single sample:
 * programs of any batch read the same weights. @throws RangeError if the shapes do not go together, naming the problem.
 */
export function planConv(problem: WgslConvProblem): WgslConvOperator {
  const [best] = candidatePlans({ ...problem, batch: 1 });
  return (problem.batch === 1 ? best : candidatePlans(problem, best.scheme)[0]).plan();
}

/** A transposed convolution with kernel = stride: one product, its taps scattered as they are written. */
export function planTransposedConv(problem: WgslTransposedConvProblem): WgslConvOperator {
  return planTransposed(problem);
}

/** The ways worth measuring, the one forecast to be the fastest first. @throws as {@link planConv}. */
export function convCandidates(problem: WgslConvProblem): ConvCandidate[] {
  return named(candidatePlans(problem).map(({ plan }) => plan()));
}

/** As {@link convCandidates}: register tiles. */
export function transposedConvCandidates(problem: WgslTransposedConvProblem): ConvCandidate[] {
  return named(transposedTiles(problem).slice(0, 4).map((tile) => planTransposed(problem, tile)));
}

/** Algorithms tell candidates apart: scheme, register tile, chunk. */
function named(operators: readonly WgslConvOperator[]): ConvCandidate[] {
  return [
    ...new Map(operators.map((operator) => [operator.algorithm, { name: operator.algorithm, operator }])).values(),
  ];
}

interface Planned {
  /** Candidates of one scheme read the same packed weights. */
  readonly scheme: string;
  readonly seconds: number;
  readonly plan: () => WgslConvOperator;
}

const DIRECT = "direct";

/** A few register tiles of the direct form; the best four schemes, the best of them with other tiles and chunks. Or of one scheme only. */
function candidatePlans(problem: WgslConvProblem, only?: string): Planned[] {
  const isAsked = (scheme: string) => only === undefined || scheme === only;
  const direct = (isAsked(DIRECT) ? directTiles(problem) : []).slice(0, 4).map((tile): Planned => {
    const operator = planDirect(problem, tile);
    return { scheme: DIRECT, seconds: operator.seconds, plan: () => operator };
  });
  const choices = winogradChoices(problem).filter(({ shape }) => isAsked(schemeName(shape.schemes))).slice(0, 4);
  const [best] = choices;
  const variants = best === undefined ? [] : [
    ...tilesFor(best.shape.outputBlocks, problem.limits, () => 0).map((tile) => withTile(problem, best, tile))
      .sort((a, b) => a.seconds - b.seconds).slice(1, 4),
    ...[0.5, 2].filter((factor) => factor < 1 || best.chunk * factor < problem.batch * best.shape.sampleTiles)
      .map((factor) => ({ ...withChunk(best, best.chunk * factor), seconds: best.seconds * 1.01 })),
  ];
  const winograd = [...choices, ...variants].map((choice): Planned => ({
    scheme: schemeName(choice.shape.schemes),
    seconds: choice.seconds,
    plan: () => planWinograd(problem, choice),
  }));
  return [...direct, ...winograd].sort((a, b) => a.seconds - b.seconds);
}
