/** Layers of one input and without weights: the step forward, and the way back through it beside it. */
import type { UnaryStep } from "../graph/backward.ts";
import type { EngineTypes } from "./kernels.ts";
import { describeTensor, type Lowering, read, write } from "./lowering.ts";
import { gradientRange, type Training } from "./training_context.ts";

/** Notes what the step uses. @returns its name and operator */
export function lowerUnary<E extends EngineTypes>(
  lowering: Lowering<E>,
  step: UnaryStep,
): [name: string, operator: E["operator"]] {
  const { network, batch, kernels } = lowering;
  const { grid } = network.tensors[step.input[0].tensor];
  const [input, target] = [read(lowering, step.input), write(lowering, step.output)];
  const name = describeTensor(network, step.output);
  switch (step.kind) {
    case "averagePool":
      return [`average pool ${name}`, kernels.planAveragePool({ batch, grid, stride: step.stride, input, target })];
  }
}

/** Adds the gradient of the step's input. */
export function unaryGradient<E extends EngineTypes>(
  training: Training<E>,
  step: UnaryStep,
  accumulate: boolean,
): void {
  const { network, batch, kernels, schedule: { add } } = training;
  const [{ tensor }] = step.input;
  const { grid } = network.tensors[tensor];
  const [outputGradient, inputGradient] = [gradientRange(training, step.output), gradientRange(training, tensor)];
  switch (step.kind) {
    case "averagePool": {
      const pool = { batch, grid, stride: step.stride, outputGradient, inputGradient, accumulate };
      return add(`average pool gradient ${describeTensor(network, tensor)}`, kernels.planPoolBackward(pool));
    }
  }
}
