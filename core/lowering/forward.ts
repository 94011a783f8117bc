/** The forward pass: steps of the fused network in their order, with norm tables as soon as a tensor has been written. */
import type { TensorId, ViewPart } from "../graph/fuse.ts";
import type { BatchNormNode, InstanceNormNode } from "../graph/graph.ts";
import type { ConvStep } from "../graph/backward.ts";
import type { Affine, EngineTypes } from "./kernels.ts";
import type { NormTableRange } from "../graph/problems.ts";
import {
  describeConv,
  describeTensor,
  describeWeight,
  describeWriter,
  type Lowering,
  operandOf,
  type PlannedConv,
  read,
  statisticsOf,
  targetOf,
  touchTensor,
  touchView,
  write,
} from "./lowering.ts";
import { lowerUnary } from "./unary.ts";

/** What prediction and training, or engines, do each in its own way. */
export interface ForwardRules<E extends EngineTypes> {
  /** Adds the step, or steps, that write a table's entries. */
  writeTable(name: string, part: ViewPart, range: NormTableRange): void;
  /** Adds what has to be computed of a tensor before its tables. */
  writeMoments?(tensor: TensorId): void;
  /** Where the kernels of a convolution read its weights. */
  weightSlot(step: ConvStep, index: number): string;
  /** Provides for a convolution's weights; returns the operator as its step runs it. */
  placeWeights(conv: PlannedConv<E>): E["operator"];
  /** Adds steps `index` and `index + 1` of the network as one, if that is possible. */
  joinSteps?(index: number): boolean;
  /** The operator of the next step, which is number `index` of the network, where the step's output lies over an input. */
  layOver?(index: number, operator: E["operator"]): E["operator"];
}

/** Adds the steps of the forward pass, the tables of the input first. */
export function lowerForward<E extends EngineTypes>(lowering: Lowering<E>, rules: ForwardRules<E>): void {
  const { steps } = lowering.network;
  touchTensor(lowering, 0);
  writeTables(lowering, rules, 0);
  for (let index = 0; index < steps.length; index++) {
    if (rules.joinSteps?.(index)) index++;
    else lowerStep(lowering, rules, index);
    const { output } = steps[index];
    rules.writeMoments?.(output);
    writeTables(lowering, rules, output);
  }
}

function lowerStep<E extends EngineTypes>(lowering: Lowering<E>, rules: ForwardRules<E>, index: number): void {
  const { network, batch, kernels, schedule } = lowering;
  const step = network.steps[index];
  const add = (name: string, operator: E["operator"]) =>
    schedule.add(name, rules.layOver?.(index, operator) ?? operator);
  switch (step.kind) {
    case "conv":
    case "transposedConv": {
      const conv = plannedConv(lowering, rules, index);
      return add(conv.name, useConv(lowering, rules, conv));
    }
    case "add": {
      const [a, b] = [read(lowering, step.inputs[0]), read(lowering, step.inputs[1])];
      const { grid } = network.tensors[step.output];
      const sum = { batch, grid, a, b, target: write(lowering, step.output), slope: step.slope };
      return add(`residual sum ${describeTensor(network, step.output)}`, kernels.planResidualAdd(sum));
    }
    default:
      return add(...lowerUnary(lowering, step));
  }
}

/** The convolution that is step `index` of the network; plans it, but notes no use of anything. */
export function plannedConv<E extends EngineTypes>(
  lowering: Lowering<E>,
  rules: ForwardRules<E>,
  index: number,
): PlannedConv<E> {
  const { network, batch, kernels, convs } = lowering;
  const step = network.steps[index] as ConvStep;
  const { channels, statistics } = network.tensors[step.output];
  const known = convs.get(index);
  if (known) return known;
  const [name, weightSlot] = [describeConv(network, step), rules.weightSlot(step, index)];
  const problem = {
    name: describeWeight(step),
    step: name,
    batch,
    inputGrid: network.tensors[step.input[0].tensor].grid,
    stride: step.stride,
    input: operandOf(lowering, step.input),
    output: targetOf(lowering, step.output),
    outputChannels: channels,
    weightSlot,
    statistics,
  };
  const operator = step.kind === "conv"
    ? kernels.planConv({ ...problem, kernel: step.kernel })
    : kernels.planTransposedConv(problem);
  const conv = { step, name, weightSlot, operator };
  convs.set(index, conv);
  return conv;
}

/** Notes what a convolution uses in the next step and returns the operator of that step. */
export function useConv<E extends EngineTypes>(
  lowering: Lowering<E>,
  rules: ForwardRules<E>,
  conv: PlannedConv<E>,
): E["operator"] {
  const { step: { input, output }, operator: { statistics } } = conv;
  touchView(lowering, input);
  touchTensor(lowering, output);
  const operator = rules.placeWeights(conv);
  if (!lowering.network.tensors[output].statistics) return operator;
  if (!statistics) throw new Error(`Planning ${conv.name}: the operator leaves no statistics`);
  lowering.statisticsParts.set(output, statistics.parts);
  lowering.schedule.touch(statisticsOf(output), statistics.bytes);
  return operator;
}

/** Adds the entries that all tables have for a tensor. */
export function writeTables<E extends EngineTypes>(
  { network, batch, tables, schedule }: Lowering<E>,
  { writeTable }: Pick<ForwardRules<E>, "writeTable">,
  tensor: TensorId,
): void {
  const { channels } = network.tensors[tensor];
  for (const { part, ...entry } of tables.entries.get(tensor) ?? []) {
    schedule.touch(entry.normSlot, batch * 3 * entry.totalChannels * 4);
    writeTable(`norm table of ${describeWriter(network, tensor)}`, part, {
      ...entry,
      batch,
      channels,
      slope: part.slope,
    });
  }
}

/** Entries of a tensor that is normed by its statistics, which the next step reads. */
export function tableFromStatistics<E extends EngineTypes>(
  { kernels, schedule, statisticsParts }: Lowering<E>,
  tensor: TensorId,
  range: NormTableRange & Affine,
): E["operator"] {
  const statisticsSlot = statisticsOf(tensor);
  schedule.touch(statisticsSlot);
  return kernels.planNormFinalize({ ...range, parts: statisticsParts.get(tensor) ?? 0, statisticsSlot });
}

/** A norm's constants by slots. */
export function affineOf(
  { eps, weight, bias }: Pick<InstanceNormNode | BatchNormNode, "eps" | "weight" | "bias">,
  slotOf: (name: string) => string,
): Affine {
  return {
    eps,
    ...(weight !== undefined && { weightSlot: slotOf(weight) }),
    ...(bias !== undefined && { biasSlot: slotOf(bias) }),
  };
}

/** Slots of the vectors of a checkpoint, f32. */
export interface VectorSlots {
  vector(name: string, channels: number): string;
  /** A batch norm folded. */
  batchNorm(norm: BatchNormNode, channels: number): { readonly scaleSlot: string; readonly shiftSlot: string };
}

/** Tables of a prediction: norms' weights, and batch norms folded, are a checkpoint's. */
export function tablesOfWeights<E extends EngineTypes>(
  lowering: Lowering<E>,
  slots: VectorSlots,
): Pick<ForwardRules<E>, "writeTable"> {
  const { kernels: { planNormConstant }, schedule: { add } } = lowering;
  return {
    writeTable(name, { tensor, norm }, range) {
      const { channels } = range;
      if (norm?.kind === "instanceNorm") {
        const affine = affineOf(norm, (vector) => slots.vector(vector, channels));
        add(name, tableFromStatistics(lowering, tensor, { ...range, ...affine }));
      } else {
        add(name, planNormConstant(norm ? { ...range, ...slots.batchNorm(norm, channels) } : range));
      }
    },
  };
}
