/** The backward pass: its steps (see core/graph/backward.ts) as operators. */
import { type Vec3, voxelCount } from "../base/shape.ts";
import type { BackwardStep, ConvStep } from "../graph/backward.ts";
import type { GradientProblem } from "../graph/problems.ts";
import type { EngineTypes } from "./kernels.ts";
import { describeConv, describeTensor, describeWeight, rangeOf, read } from "./lowering.ts";
import { gradientRange, gradientSlot, parameterSlot, type Training } from "./training_context.ts";
import { backwardOfView } from "./training_norms.ts";
import { unaryGradient } from "./unary.ts";

/** Adds a step of the backward pass. */
export function lowerBackward<E extends EngineTypes>(training: Training<E>, step: BackwardStep): void {
  switch (step.kind) {
    case "view":
      return backwardOfView(training, step.part);
    case "weight":
      return weightGradient(training, step.conv, step.bias);
    case "data":
      return dataGradient(training, step.conv, step.accumulate);
    case "copy":
    case "add":
      return passGradient(training, step);
    case "unary":
      return unaryGradient(training, step.step, step.accumulate);
  }
}

/** The kernel of a convolution. */
export const kernelOf = (conv: ConvStep): Vec3 => conv.kind === "conv" ? conv.kernel : conv.stride;

function gradientProblem<E extends EngineTypes>({ network, batch }: Training<E>, conv: ConvStep): GradientProblem {
  return {
    name: describeWeight(conv),
    batch,
    inputGrid: network.tensors[conv.input[0].tensor].grid,
    kernel: kernelOf(conv),
    stride: conv.stride,
    transposed: conv.kind === "transposedConv",
  };
}

function weightGradient<E extends EngineTypes>(training: Training<E>, conv: ConvStep, hasBias: boolean): void {
  const { network, kernels, schedule: { add } } = training;
  const step = `weight gradient ${describeConv(network, conv)}`;
  const operator = kernels.planWeightGradient({
    ...gradientProblem(training, conv),
    step,
    input: read(training, conv.input),
    outputGradient: gradientRange(training, conv.output),
    weightGradientSlot: gradientSlot(conv.weight ?? ""),
    ...(hasBias && { biasGradientSlot: gradientSlot(conv.bias ?? "") }),
  });
  add(step, operator);
}

function dataGradient<E extends EngineTypes>(training: Training<E>, conv: ConvStep, accumulate: boolean): void {
  const { network, kernels, schedule: { add } } = training;
  const { channels: _, ...first } = gradientRange(training, conv.input[0].tensor);
  const step = `data gradient ${describeConv(network, conv)}`;
  const operator = kernels.planDataGradient({
    ...gradientProblem(training, conv),
    step,
    outputGradient: gradientRange(training, conv.output),
    inputGradient: { ...first, parts: conv.input.map(({ tensor }) => network.tensors[tensor].channels) },
    weightSlot: parameterSlot(conv.weight ?? ""),
    packedSlot: `packed gradient:${conv.output}`,
    accumulate,
  });
  add(step, operator);
}

/** From a copy, or a sum, to its input. */
function passGradient<E extends EngineTypes>(
  training: Training<E>,
  { kind, output, input, slope, accumulate }: Extract<BackwardStep, { kind: "copy" | "add" }>,
): void {
  const { network, batch, kernels, schedule: { add } } = training;
  const operator = kernels.planGradientPass({
    batch,
    voxels: voxelCount(network.tensors[output].grid),
    source: gradientRange(training, output),
    target: gradientRange(training, input),
    ...(slope !== 1 && { sign: rangeOf(training, output, "tensor") }),
    slope,
    accumulate,
  });
  add(`${kind} gradient ${describeTensor(network, output)}`, operator);
}
