/** Bytes of what a training keeps of its parameters. */
import { describeOptimizer } from "../../core/graph/optimizer.ts";
import { valueKinds } from "../../core/lowering/parameter_values.ts";
import type { TrainingPlan } from "./plan.ts";

type Kept = Pick<TrainingPlan, "layout" | "optimizer">;

/** Bytes of what the optimizer keeps of all parameters together: f64 [4]. */
export function stateBytes({ optimizer }: Pick<Kept, "optimizer">): number {
  return describeOptimizer(optimizer).countsSteps ? 32 : 0;
}

/** Bytes of all kinds of values, one after the other and all in one layout, and of the optimizer's state behind them. */
export function valueBytes(plan: Kept): number {
  return plan.layout.floats * 4 * valueKinds(plan.optimizer).length + stateBytes(plan);
}
