/** Chooses how a convolution is computed on a GPU, and lists the ways there are. Choices depend on shapes and limits alone. */
import { directTiles, planDirect, planTransposed, transposedTiles } from "./direct.ts";
import type { ConvCandidate, WgslConvOperator, WgslConvProblem, WgslTransposedConvProblem } from "./problem.ts";
import { tilesFor } from "./tiles.ts";
import { planWinograd, winogradChoices, withChunk, withTile } from "./winograd.ts";

export type {
  ConvCandidate,
  ConvLimits,
  WgslConvOperator,
  WgslConvProblem,
  WgslTransposedConvProblem,
} from "./problem.ts";

/** The candidate that is forecast to be the fastest. @throws RangeError if the shapes do not go together, naming the problem. */
export function planConv(problem: WgslConvProblem): WgslConvOperator {
  return candidatePlans(problem)[0].plan();
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
  readonly seconds: number;
  readonly plan: () => WgslConvOperator;
}

/** A few register tiles of the direct form; the best four schemes, the best of them with other tiles and chunks. */
function candidatePlans(problem: WgslConvProblem): Planned[] {
  const direct = directTiles(problem).slice(0, 4).map((tile): Planned => {
    const operator = planDirect(problem, tile);
    return { seconds: operator.seconds, plan: () => operator };
  });
  const choices = winogradChoices(problem).slice(0, 4);
  const [best] = choices;
  const variants = best === undefined ? [] : [
    ...tilesFor(best.shape.outputBlocks, problem.limits, () => 0).map((tile) => withTile(problem, best, tile))
      .sort((a, b) => a.seconds - b.seconds).slice(1, 4),
    ...[0.5, 2].filter((factor) => factor < 1 || best.chunk * factor < problem.batch * best.shape.sampleTiles)
      .map((factor) => ({ ...withChunk(best, best.chunk * factor), seconds: best.seconds * 1.01 })),
  ];
  const winograd = [...choices, ...variants].map((choice): Planned => ({
    seconds: choice.seconds,
    plan: () => planWinograd(problem, choice),
  }));
  return [...direct, ...winograd].sort((a, b) => a.seconds - b.seconds);
}
