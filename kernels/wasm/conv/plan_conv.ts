/** Chooses how a convolution is computed, by a cost model over its algorithms; never by batch, threads or memory. */
import { packCycles } from "./cost_model.ts";
import { productOf, sum } from "../../operators/arithmetic.ts";
import { directChoice, planDirect, planTransposed } from "./plan_direct.ts";
import { planWinograd, type WinogradChoice, winogradChoices } from "./plan_winograd.ts";
import type { ConvOperator, ConvProblem, TransposedConvProblem } from "./problem.ts";

/**
 * The cheapest way to compute `problem`: direct, or Winograd with the best tile per axis.
 * @throws RangeError if the output would be empty, naming the problem.
 */
export function planConv(problem: ConvProblem): ConvOperator {
  const direct = directChoice(problem);
  const [best] = winogradChoices(problem).sort((a, b) => a.cycles - b.cycles);
  return best && best.cycles < direct.cycles ? planWinograd(problem, best) : planDirect(problem, direct);
}

/** The cheapest way where the weights are packed in every run, as they are in training: the batch shares that cost. */
export function planConvWithPacking(problem: ConvProblem): ConvOperator {
  const pairs = sum(problem.input.parts) * problem.outputChannels;
  const taps = productOf(problem.kernel);
  const cost = ({ cycles, schemes }: WinogradChoice) =>
    problem.batch * cycles + packCycles(pairs, taps, productOf(schemes.map(({ weight }) => weight.length)));
  const direct = directChoice(problem);
  const [best] = winogradChoices(problem).sort((a, b) => cost(a) - cost(b));
  const directCost = problem.batch * direct.cycles + packCycles(pairs, taps, taps);
  return best && cost(best) < directCost ? planWinograd(problem, best) : planDirect(problem, direct);
}

/** A transposed convolution with kernel = stride: one product per tap, scattered as it is written. */
export function planTransposedConv(problem: TransposedConvProblem): ConvOperator {
  return planTransposed(problem);
}
