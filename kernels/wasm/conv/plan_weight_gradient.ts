/** Chooses how the weight gradient of a convolution is computed; never by threads or memory. */
import type { Operator } from "../kernel.ts";
import { planDirectWeightGradient } from "./gradient_direct.ts";
import type { WeightGradientProblem } from "./gradient_problem.ts";

export function planWeightGradient(problem: WeightGradientProblem): Operator {
  return planDirectWeightGradient(problem);
}
