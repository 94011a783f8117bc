/** Chooses how the data gradient of a convolution is computed; never by threads or memory. */
import type { Operator } from "../kernel.ts";
import { planDirectDataGradient } from "./gradient_direct.ts";
import type { DataGradientProblem } from "./gradient_problem.ts";

export function planDataGradient(problem: DataGradientProblem): Operator {
  return planDirectDataGradient(problem);
}
