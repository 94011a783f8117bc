/** The optimizers' steps on the CPU, over the range of parameters that have gradients; their kernels for the module. */
import type { SgdOptions } from "../../core/engine/training.ts";
import { RESULTS } from "../../core/lowering/training_context.ts";
import type { Kernel } from "../../kernels/wasm/emit/module_builder.ts";
import type { Operator } from "../../kernels/wasm/kernel.ts";
import { ADAM_KERNELS, planAdamUpdate } from "../../kernels/wasm/training/adam.ts";
import { planSgdUpdate, TRAINING_OPTIMIZER_KERNELS } from "../../kernels/wasm/training/optimizer.ts";
import { RESULT_BYTES } from "../kernel_set.ts";
import type { TrainingPlan } from "./plan.ts";

/** The module's kernels of these. */
export const OPTIMIZER_WASM: readonly Kernel[] = [...TRAINING_OPTIMIZER_KERNELS, ...ADAM_KERNELS];

/** Slot of what an optimizer that counts its steps keeps of all parameters together: f64 [4], the first of them the steps. */
export const OPTIMIZER_STATE = "optimizer's state";

/**
 * Slots are the kinds of values, the results, and {@link OPTIMIZER_STATE}. In f32 a loss scale is put in and taken out again without
 * effect, so that it is left out here.
 */
export function planUpdate(plan: TrainingPlan, options: SgdOptions): Operator {
  const { optimizer, layout, resultCount } = plan;
  const { learningRate, momentum, weightDecay, nesterov, clipNorm } = options;
  const common = {
    parameterSlot: "parameters",
    gradientSlot: "gradients",
    momentumSlot: "momentum",
    floats: layout.trainedFloats,
    squaresSlot: RESULTS,
    squaresOffset: (resultCount - 1) * RESULT_BYTES,
    learningRate,
    weightDecay,
    clipNorm,
  };
  switch (optimizer?.kind) {
    case undefined:
      return planSgdUpdate({ ...common, momentum, nesterov });
    case "adam": {
      const { betas, eps, decoupled, amsgrad } = optimizer;
      const slots = {
        averagesSlot: "averages",
        ...(amsgrad && { largestSlot: "largest" }),
        stateSlot: OPTIMIZER_STATE,
      };
      return planAdamUpdate({ ...common, betas, eps, decoupled, ...slots });
    }
  }
}
