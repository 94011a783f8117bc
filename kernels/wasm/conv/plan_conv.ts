/** Chooses how a convolution is computed, by a cost model over its algorithms; never by batch, threads or memory. */
import type { ConvOperator, ConvProblem, TransposedConvProblem } from "./problem.ts";

export type { ConvOperator, ConvProblem, TransposedConvProblem } from "./problem.ts";

export function planConv(problem: ConvProblem): ConvOperator {
  throw new RangeError(`Planning ${problem.name}: no algorithm`);
}

export function planTransposedConv(problem: TransposedConvProblem): ConvOperator {
  throw new RangeError(`Planning ${problem.name}: no algorithm`);
}
