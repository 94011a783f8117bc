/** The optimizers' steps on the GPU, chunk by chunk of the parameters that have gradients. */
import { RESULTS, type Training } from "../../core/lowering/training_context.ts";
import { planAdamUpdate } from "../../kernels/wgsl/training/adam.ts";
import { planGradientNorm, planSgdUpdate } from "../../kernels/wgsl/training/optimizer.ts";
import { type GpuTypes, OPTIONS } from "../kernel_set.ts";
import type { ParameterLayout } from "./parameters.ts";

/** Slot of what an optimizer that counts its steps keeps of all parameters together: f32 [8], the first of them the steps. */
export const OPTIMIZER_STATE = "optimizer's state";

/** Adds the gradients' norm and the optimizer's step; of a share the latter alone. */
export function addOptimizer(
  { network, schedule, options: { optimizer, share } }: Training<GpuTypes>,
  { chunks }: ParameterLayout,
): void {
  const ranges = chunks.flatMap(({ floats, trained }, chunk) => {
    if (!trained) return [];
    const [parameterSlot, gradientSlot, momentumSlot] = ["parameters", "gradients", "momentum"].map((kind) =>
      `${kind} ${chunk}`
    );
    return [{ chunk, floats, parameterSlot, gradientSlot, momentumSlot }];
  });
  const step = { optionsSlot: OPTIONS, resultSlot: RESULTS, resultIndex: network.outputs.length };
  // That of all shares is known on the host, where their gradients are added up.
  if (!share) schedule.add("gradient norm", planGradientNorm({ ...step, ranges }));
  switch (optimizer?.kind) {
    case undefined:
      return schedule.add("SGD", planSgdUpdate({ ...step, ranges }));
    case "adam": {
      const { betas, eps, decoupled, amsgrad } = optimizer;
      const moments = ranges.map(({ chunk, ...range }) => ({
        ...range,
        averagesSlot: `averages ${chunk}`,
        ...(amsgrad && { largestSlot: `largest ${chunk}` }),
      }));
      const adam = { ...step, ranges: moments, betas, eps, decoupled, stateSlot: OPTIMIZER_STATE };
      return schedule.add("Adam", planAdamUpdate(adam));
    }
  }
}
