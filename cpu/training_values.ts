/** What a training keeps of every parameter, and the optimizer that works on it. */
import type { OptimizerState, SgdOptions } from "../core/engine/training.ts";
import type { Operator } from "../kernels/wasm/kernel.ts";
import { ADAM_STATE_BYTES, planAdamUpdate } from "../kernels/wasm/training/adam.ts";
import { planSgdUpdate } from "../kernels/wasm/training/optimizer.ts";
import type { TrainingPlan } from "./training_plan.ts";

/** Order of the kinds of values; the last two with Adam alone, and the last of them with amsgrad. */
export const KIND = { parameters: 0, gradients: 1, momentum: 2, averages: 3, largest: 4 } as const;

/** In f32 a loss scale is put in and taken out again without effect, so that it is left out here. */
export function updateOf(plan: TrainingPlan, options: SgdOptions): Operator {
  const { learningRate, momentum, weightDecay, nesterov, clipNorm } = options;
  const common = {
    parameterSlot: "parameters",
    gradientSlot: "gradients",
    momentumSlot: "momentum",
    floats: plan.layout.trainedFloats,
    squaresSlot: "results",
    squaresOffset: plan.outputs.filter((output) => output !== undefined).length * 8,
    learningRate,
    weightDecay,
    clipNorm,
  };
  if (!plan.adam) return planSgdUpdate({ ...common, momentum, nesterov });
  const { amsgrad, ...adam } = plan.adam;
  const slots = { averagesSlot: "averages", ...(amsgrad && { largestSlot: "largest" }), stateSlot: "adam" };
  return planAdamUpdate({ ...common, ...adam, ...slots });
}

/** Parameters, gradients and what the optimizer keeps of them, and Adam's state. */
export function valueBytes({ layout, adam }: TrainingPlan): number {
  const kinds = !adam ? 3 : adam.amsgrad ? 5 : 4;
  return layout.floats * 4 * kinds + (adam ? ADAM_STATE_BYTES : 0);
}

/** What the optimizer keeps of every parameter. */
export function keptKinds({ adam }: TrainingPlan, state: OptimizerState | undefined) {
  const momentum = { kind: KIND.momentum, what: "momentum", values: state?.momentum };
  if (!adam) return [momentum];
  const averages = { kind: KIND.averages, what: "squares' average", values: state?.adam?.averages };
  const largest = { kind: KIND.largest, what: "largest average of squares", values: state?.adam?.largest };
  return [momentum, averages, ...(adam.amsgrad ? [largest] : [])];
}
