/** The ways to compute a convolution or a gradient that are worth measuring, whichever it is. */
import type { WgslOperator } from "../kernel.ts";
import { convCandidates, type MeasuredProblem, transposedConvCandidates } from "./plan_conv.ts";
import type { WgslConvOperator } from "./problem.ts";
import { weightGradientCandidates } from "./weight_gradient.ts";

export interface MeasuredCandidate<Operator extends WgslOperator = WgslOperator> {
  /** Unique within a problem and stable. */
  readonly name: string;
  readonly operator: Operator;
}

/** The one forecast to be the fastest first. @throws BindingLimitError if nothing fits the device. */
export function measuredCandidates(problem: MeasuredProblem): MeasuredCandidate[] {
  return "weightGradientSlot" in problem ? weightGradientCandidates(problem) : convolutionCandidates(problem);
}

/** As {@link measuredCandidates}, for what has weights. */
export function convolutionCandidates(
  problem: Exclude<MeasuredProblem, { weightGradientSlot: string }>,
): MeasuredCandidate<WgslConvOperator>[] {
  return "kernel" in problem ? convCandidates(problem) : transposedConvCandidates(problem);
}
