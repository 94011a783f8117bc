/** What a training keeps of every parameter, and the optimizer that works on it. */
import type { SgdOptions } from "../core/engine/training.ts";
import { keptKinds, type ValueKind } from "../core/lowering/parameter_values.ts";
import { RESULTS } from "../core/lowering/training_context.ts";
import type { Operator } from "../kernels/wasm/kernel.ts";
import { ADAM_STATE_BYTES, planAdamUpdate } from "../kernels/wasm/training/adam.ts";
import { planSgdUpdate } from "../kernels/wasm/training/optimizer.ts";
import { RESULT_BYTES } from "./kernel_set.ts";
import type { TrainingPlan } from "./training_plan.ts";

/** Kinds of values in the order in which they lie one after the other, all in one layout; Adam's state is behind the last. */
export function kindsOf({ adam }: Pick<TrainingPlan, "adam">): readonly ValueKind[] {
  return ["parameters", "gradients", ...keptKinds(adam)];
}

/** Bytes of all kinds, and of Adam's state. */
export function valueBytes(plan: Pick<TrainingPlan, "layout" | "adam">): number {
  return plan.layout.floats * 4 * kindsOf(plan).length + (plan.adam ? ADAM_STATE_BYTES : 0);
}

/** In f32 a loss scale is put in and taken out again without effect, so that it is left out here. */
export function updateOf(plan: TrainingPlan, options: SgdOptions): Operator {
  const { learningRate, momentum, weightDecay, nesterov, clipNorm } = options;
  const common = {
    parameterSlot: "parameters",
    gradientSlot: "gradients",
    momentumSlot: "momentum",
    floats: plan.layout.trainedFloats,
    squaresSlot: RESULTS,
    squaresOffset: (plan.resultCount - 1) * RESULT_BYTES,
    learningRate,
    weightDecay,
    clipNorm,
  };
  if (!plan.adam) return planSgdUpdate({ ...common, momentum, nesterov });
  const { amsgrad, ...adam } = plan.adam;
  const slots = { averagesSlot: "averages", ...(amsgrad && { largestSlot: "largest" }), stateSlot: "adam" };
  return planAdamUpdate({ ...common, ...adam, ...slots });
}
