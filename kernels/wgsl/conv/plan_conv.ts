/** Chooses how a convolution is computed on a GPU, and lists the ways there are. */
import type { ConvCandidate, WgslConvOperator, WgslConvProblem, WgslTransposedConvProblem } from "./problem.ts";

export type {
  ConvCandidate,
  ConvLimits,
  WgslConvOperator,
  WgslConvProblem,
  WgslTransposedConvProblem,
} from "./problem.ts";

/** The candidate that is forecast to be the fastest. @throws RangeError if the shapes do not go together, naming the problem. */
export function planConv(problem: WgslConvProblem): WgslConvOperator {
  return convCandidates(problem)[0].operator;
}

/** A transposed convolution with kernel = stride: one product per tap, scattered as it is written. */
export function planTransposedConv(problem: WgslTransposedConvProblem): WgslConvOperator {
  throw new RangeError(`not yet: ${problem.name}`);
}

/** The ways worth measuring, the one forecast to be the fastest first. */
export function convCandidates(problem: WgslConvProblem): ConvCandidate[] {
  throw new RangeError(`not yet: ${problem.name}`);
}
