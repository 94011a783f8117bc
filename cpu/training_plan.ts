/**
 * From a graph and its loss to everything a training step needs before it allocates: operators of the forward and backward pass in order,
 * the place of every tensor, gradient and temporary in one arena by lifetime, the parameters' layout. Pure.
 */
import { padToFour, type Vec3, voxelCount } from "../core/base/shape.ts";
import { UserError } from "../core/base/errors.ts";
import type { AdamOptions, TrainingOptions } from "../core/engine/training.ts";
import { checkTrainingOptions } from "../core/engine/training_checks.ts";
import { type BackwardStep, type ConvStep, planBackward } from "../core/graph/backward.ts";
import { fuseGraph, parametersRead, type TensorId, type View, type ViewPart } from "../core/graph/fuse.ts";
import type { Graph, InstanceNormNode } from "../core/graph/graph.ts";
import { type MemoryPlan, planMemory } from "../core/graph/memory_plan.ts";
import type { GradientProblem } from "../kernels/wasm/conv/gradient_problem.ts";
import { planConvWithPacking, planTransposedConv } from "../kernels/wasm/conv/plan_conv.ts";
import { planDataGradient } from "../kernels/wasm/conv/plan_data_gradient.ts";
import { planWeightGradient } from "../kernels/wasm/conv/plan_weight_gradient.ts";
import { planNormConstant, planNormFinalize } from "../kernels/wasm/elementwise_norm.ts";
import { planAveragePool, planResidualAdd } from "../kernels/wasm/elementwise_residual.ts";
import type { Operand, Operator, Target } from "../kernels/wasm/kernel.ts";
import { planBatchMoments, planNormFromMoments } from "../kernels/wasm/training_batch_norm.ts";
import { planNormBackward, type TensorRange } from "../kernels/wasm/training_norm.ts";
import { planGradientNorm } from "../kernels/wasm/training_optimizer.ts";
import { planGradientPass, planPoolBackward } from "../kernels/wasm/training_passes.ts";
import { collectTables, describeWriter, packingInEveryRun, tableKey } from "./program_plan.ts";
import { type PlannedStep, scratchOf } from "./program_plan.ts";
import { type LossPlan, membershipOf, planLoss } from "./training_losses.ts";
import { layOutParameters, type ParameterLayout } from "./training_parameters.ts";
import { createSchedule } from "./training_schedule.ts";

/** Logits of an output with a loss. */
export interface PlannedOutput {
  readonly slot: string;
  readonly channels: number;
  readonly grid: Vec3;
}

export interface TrainingPlan {
  /** Forward pass and losses, backward pass, counts of a validation; temporaries of step i of all are `temporaryBlock(i, ...)`. */
  readonly forward: readonly PlannedStep[];
  readonly backward: readonly PlannedStep[];
  readonly counts: PlannedStep;
  /** Steps of the forward pass that only one of both runs: batch norm is another thing to each. */
  readonly only: ReadonlyMap<number, "training" | "validation">;
  readonly arena: MemoryPlan;
  readonly layout: ParameterLayout;
  readonly adam?: AdamOptions;
  /** Slots in the parameters and in their gradients, as first floats. */
  readonly parameterSlots: ReadonlyMap<string, number>;
  readonly gradientSlots: ReadonlyMap<string, number>;
  /** Slots of what never changes. */
  readonly constants: ReadonlyMap<string, Float32Array<ArrayBuffer>>;
  readonly inputSlot: string;
  readonly inputChannels: number;
  /** i16 (batch, z, y, x). */
  readonly labelSlot: string;
  /** f64: the weighted loss of every computed output, then the sum of the gradients' squares. */
  readonly resultSlot: string;
  /** f32 parts [3][padded channels]: true positives, false positives, false negatives. */
  readonly countsSlot: string;
  readonly countFloats: number;
  /** By graph output; undefined where the loss has weight 0. */
  readonly outputs: readonly (PlannedOutput | undefined)[];
  readonly scratchBytes: number;
}

const LABELS = "labels";
const RESULTS = "results";
const COUNTS = "counts";
const MEMBERSHIP = "membership";
const GRADIENTS = "gradients";

/** @throws UserError naming a node kind or option that cannot be trained. */
export function planTraining(graph: Graph, options: TrainingOptions): TrainingPlan {
  const { patch, batch, loss, outputWeights } = options;
  if (options.precision !== "f32") {
    throw new UserError({
      doing: "planning the training of the network",
      problem: `the CPU engine trains in f32, not ${options.precision}`,
      remedy: "leave out --precision",
    });
  }
  checkTrainingOptions(graph, options);
  const computed = graph.outputs.filter((_, i) => outputWeights[i] !== 0);
  const network = fuseGraph(graph, patch, computed, true);
  const pass = planBackward(network);
  const layout = layOutParameters(graph, parametersRead(network.steps));
  const offsets = new Map(layout.parameters.map(({ name, offset }) => [name, offset]));
  const parameterSlots = new Map(layout.parameters.map(({ name, offset }) => [`parameter:${name}`, offset]));
  const gradientSlots = new Map(layout.parameters.map(({ name, offset }) => [`gradient:${name}`, offset]));
  gradientSlots.set(GRADIENTS, 0);
  const constants = new Map<string, Float32Array<ArrayBuffer>>();
  const schedule = createSchedule();
  const { touch, add, steps } = schedule;
  const statisticsParts = new Map<TensorId, number>();
  const tables = collectTables(network);

  const slotOf = (tensor: TensorId) => `tensor:${network.tensors[tensor].group}`;
  const statisticsOf = (tensor: TensorId) => `statistics:${tensor}`;
  const momentsOf = (tensor: TensorId) => [`mean:${tensor}`, `variance:${tensor}`] as const;
  const only = new Map<number, "training" | "validation">();

  /** A tensor's channel range in memory; `kind` is its slot's prefix. */
  function rangeOf(tensor: TensorId, slot: string): TensorRange {
    const { group, channelOffset, channels, grid } = network.tensors[tensor];
    const { channelStride } = network.groups[group];
    touch(slot, batch * voxelCount(grid) * channelStride * 4);
    return { slot, channelStride, channelOffset, channels };
  }

  const storedRange = (tensor: TensorId) => rangeOf(tensor, slotOf(tensor));

  function gradientRange(tensor: TensorId): TensorRange {
    const shared = pass.sharedGradients.get(tensor);
    if (shared !== undefined) return gradientRange(shared);
    return rangeOf(tensor, `tensorGradient:${network.tensors[tensor].group}`);
  }

  function read(view: View): Operand {
    const { slot, channelStride, channelOffset } = storedRange(view[0].tensor);
    const table = tables.get(tableKey(view));
    if (table) touch(table.slot);
    const parts = view.map(({ tensor }) => network.tensors[tensor].channels);
    return { slot, channelStride, channelOffset, parts, ...(table && { normSlot: table.slot }) };
  }

  function write(tensor: TensorId): Target {
    const statistics = network.tensors[tensor].statistics;
    return { ...storedRange(tensor), ...(statistics && { statisticsSlot: statisticsOf(tensor) }) };
  }

  function asOperand({ channels, ...range }: TensorRange): Operand {
    return { ...range, parts: [channels] };
  }

  /** The range of the norm tables that a tensor's entries are in. */
  function entriesOf(tensor: TensorId) {
    return [...tables.values()].flatMap(({ slot, view, totalChannels }) => {
      const index = view.findIndex((part) => part.tensor === tensor);
      if (index < 0) return [];
      const before = view.slice(0, index);
      const channelOffset = before.reduce((sum, part) => sum + padToFour(network.tensors[part.tensor].channels), 0);
      return [{ normSlot: slot, part: view[index], totalChannels, channelOffset }];
    });
  }

  function writeTables(tensor: TensorId): void {
    const { channels } = network.tensors[tensor];
    for (const { part, ...entry } of entriesOf(tensor)) {
      touch(entry.normSlot, batch * 3 * entry.totalChannels * 4);
      const range = { batch, channels, ...entry, slope: part.slope };
      const name = `norm table of ${describeWriter(network, tensor)}`;
      if (part.norm?.kind !== "batchNorm") {
        add(name, normTable(part, range));
        continue;
      }
      const { runningMean, runningVar } = part.norm;
      only.set(steps.length, "validation");
      const running = { meanSlot: `parameter:${runningMean}`, varianceSlot: `parameter:${runningVar}` };
      add(`${name}, running`, planNormFromMoments({ ...range, ...affineOf(part.norm), ...running }));
      touch(entry.normSlot);
      only.set(steps.length, "training");
      add(name, normTable(part, range));
    }
  }

  /** Mean and variance of the batch, where a batch norm reads the tensor. */
  function writeMoments(tensor: TensorId): void {
    const norm = entriesOf(tensor)[0]?.part.norm;
    if (norm?.kind !== "batchNorm") return;
    const { channels, grid } = network.tensors[tensor];
    const [meanSlot, varianceSlot] = momentsOf(tensor);
    touch(statisticsOf(tensor));
    for (const slot of [meanSlot, varianceSlot]) touch(slot, padToFour(channels) * 4);
    only.set(steps.length, "training");
    add(
      `batch moments of ${describeWriter(network, tensor)}`,
      planBatchMoments({
        ...{ batch, voxels: voxelCount(grid), channels, parts: statisticsParts.get(tensor) ?? 0 },
        ...{ statisticsSlot: statisticsOf(tensor), meanSlot, varianceSlot },
        runningMeanSlot: `parameter:${norm.runningMean}`,
        runningVarianceSlot: `parameter:${norm.runningVar}`,
      }),
    );
  }

  function affineOf({ eps, weight, bias }: Pick<InstanceNormNode, "eps" | "weight" | "bias">) {
    return {
      eps,
      ...(weight !== undefined && { weightSlot: `parameter:${weight}` }),
      ...(bias !== undefined && { biasSlot: `parameter:${bias}` }),
    };
  }

  function normTable({ tensor, norm }: ViewPart, range: Parameters<typeof planNormConstant>[0]): Operator {
    if (!norm) return planNormConstant(range);
    if (norm.kind === "batchNorm") {
      const [meanSlot, varianceSlot] = momentsOf(tensor);
      for (const slot of [meanSlot, varianceSlot]) touch(slot);
      return planNormFromMoments({ ...range, ...affineOf(norm), meanSlot, varianceSlot });
    }
    touch(statisticsOf(tensor));
    return planNormFinalize({
      ...range,
      parts: statisticsParts.get(tensor) ?? 0,
      statisticsSlot: statisticsOf(tensor),
      ...affineOf(norm),
    });
  }

  const nameOf = ({ weight }: ConvStep) => weight?.replace(/\.weight$/, "") ?? "copy";

  function describe(conv: ConvStep): string {
    const from = conv.input.map(({ tensor }) => network.tensors[tensor].channels).join("+");
    const { channels, grid } = network.tensors[conv.output];
    const kind = conv.kind === "conv" ? "conv" : "transposed conv";
    return `${kind} ${nameOf(conv)} ${from}->${channels} ${grid.join("x")}`;
  }

  function forwardOfConv(conv: ConvStep): void {
    const { channels, statistics } = network.tensors[conv.output];
    const weightSlot = `packed:${conv.weight ?? conv.output}`;
    const problem = {
      name: nameOf(conv),
      batch,
      inputGrid: network.tensors[conv.input[0].tensor].grid,
      stride: conv.stride,
      input: read(conv.input),
      output: write(conv.output),
      outputChannels: channels,
      weightSlot,
      statistics,
    };
    const operator = conv.kind === "conv"
      ? planConvWithPacking({ ...problem, kernel: conv.kernel })
      : planTransposedConv(problem);
    if (!operator.packing) throw new Error(`Planning ${problem.name}: the operator has no packing kernels`);
    const { sourceSlot } = operator.packing;
    if (conv.weight === undefined) constants.set(sourceSlot, identityWeights(channels));
    else parameterSlots.set(sourceSlot, offsets.get(conv.weight) ?? 0);
    if (operator.statistics) {
      statisticsParts.set(conv.output, operator.statistics.parts);
      touch(statisticsOf(conv.output), operator.statistics.bytes);
    }
    add(describe(conv), packingInEveryRun(operator, weightSlot));
  }

  function forward(): void {
    storedRange(0);
    writeTables(0);
    for (const step of network.steps) {
      const { channels, grid } = network.tensors[step.output];
      const shape = `${channels} ${grid.join("x")}`;
      switch (step.kind) {
        case "conv":
        case "transposedConv":
          forwardOfConv(step);
          break;
        case "add": {
          const [a, b] = step.inputs.map(read);
          const sum = { batch, grid, a, b, target: write(step.output), slope: step.slope };
          add(`residual sum ${shape}`, planResidualAdd(sum));
          break;
        }
        case "averagePool": {
          const inputGrid = network.tensors[step.input[0].tensor].grid;
          const pool = { batch, grid: inputGrid, stride: step.stride, input: read(step.input) };
          add(`average pool ${shape}`, planAveragePool({ ...pool, target: write(step.output) }));
        }
      }
      writeMoments(step.output);
      writeTables(step.output);
    }
  }

  const losses = network.outputs.map((output, i) => {
    const { channels, grid } = network.tensors[output];
    const plan: LossPlan = {
      ...{
        schedule,
        batch,
        loss,
        labelSlot: LABELS,
        labelGrid: patch,
        resultSlot: RESULTS,
        membershipSlot: MEMBERSHIP,
      },
    };
    const weight = outputWeights.filter((one) => one !== 0)[i];
    return planLoss(plan, { name: `${output}`, channels, grid, weight, logitsSlot: slotOf(output) }, i);
  });

  function gradientProblem(conv: ConvStep): GradientProblem {
    return {
      name: nameOf(conv),
      batch,
      inputGrid: network.tensors[conv.input[0].tensor].grid,
      kernel: conv.kind === "conv" ? conv.kernel : conv.stride,
      stride: conv.stride,
      transposed: conv.kind === "transposedConv",
    };
  }

  /** In place: the gradient of what readers saw becomes that of what is stored. */
  function backwardOfView(part: ViewPart): void {
    const { tensor, norm, slope } = part;
    const { channels, grid } = network.tensors[tensor];
    const stored = storedRange(tensor);
    const gradient = gradientRange(tensor);
    const name = `norm gradient ${describeWriter(network, tensor)} ${channels} ${grid.join("x")}`;
    if (!norm) {
      const voxels = voxelCount(grid);
      const passing = { batch, voxels, source: gradient, target: gradient, sign: stored, slope, accumulate: false };
      add(name, planGradientPass(passing));
      return;
    }
    const [{ part: _, ...entry }] = entriesOf(tensor);
    touch(entry.normSlot);
    const unit = "unit norm";
    const padded = padToFour(channels);
    // To a batch norm the whole batch is one sample.
    const samples = norm.kind === "batchNorm" ? 1 : batch;
    const voxels = voxelCount(grid) * batch / samples;
    const unitRange = { batch: samples, channels, normSlot: unit, channelOffset: 0, totalChannels: padded, slope: 1 };
    const { weight: _weight, bias: _bias, ...plain } = norm;
    const unitNorm = normTable({ tensor, norm: plain, slope: 1 }, unitRange);
    const backward = planNormBackward({
      batch: samples,
      voxels,
      stored,
      gradient,
      ...entry,
      unitNormSlot: unit,
      ...(norm.weight !== undefined && { weightGradientSlot: `gradient:${norm.weight}` }),
      ...(norm.bias !== undefined && { biasGradientSlot: `gradient:${norm.bias}` }),
    });
    add(name, {
      ...backward,
      calls: [...unitNorm.calls, ...backward.calls],
      temporaries: { ...backward.temporaries, [unit]: samples * 3 * padded * 4 },
    });
  }

  function backwardStep(step: BackwardStep): void {
    switch (step.kind) {
      case "view":
        backwardOfView(step.part);
        break;
      case "weight": {
        const { conv } = step;
        add(
          `weight gradient ${describe(conv)}`,
          planWeightGradient({
            ...gradientProblem(conv),
            input: read(conv.input),
            outputGradient: asOperand(gradientRange(conv.output)),
            weightGradientSlot: `gradient:${conv.weight}`,
            ...(step.bias && { biasGradientSlot: `gradient:${conv.bias}` }),
          }),
        );
        break;
      }
      case "data": {
        const { conv, accumulate } = step;
        const { channels: _, ...first } = gradientRange(conv.input[0].tensor);
        add(
          `data gradient ${describe(conv)}`,
          planDataGradient({
            ...gradientProblem(conv),
            outputGradient: asOperand(gradientRange(conv.output)),
            weightSlot: `parameter:${conv.weight}`,
            inputGradient: { ...first, parts: conv.input.map(({ tensor }) => network.tensors[tensor].channels) },
            accumulate,
          }),
        );
        break;
      }
      case "copy":
      case "add": {
        const { output, input, slope, accumulate } = step;
        const { grid, channels } = network.tensors[output];
        add(
          `${step.kind} gradient ${channels} ${grid.join("x")}`,
          planGradientPass({
            batch,
            voxels: voxelCount(grid),
            source: gradientRange(output),
            target: gradientRange(input),
            ...(slope !== 1 && { sign: storedRange(output) }),
            slope,
            accumulate,
          }),
        );
        break;
      }
      case "pool": {
        const { pool, accumulate } = step;
        const [{ tensor }] = pool.input;
        const { grid, channels } = network.tensors[tensor];
        add(
          `average pool gradient ${channels} ${grid.join("x")}`,
          planPoolBackward({
            batch,
            grid,
            stride: pool.stride,
            outputGradient: gradientRange(pool.output),
            inputGradient: gradientRange(tensor),
            accumulate,
          }),
        );
      }
    }
  }

  touch(LABELS, batch * voxelCount(patch) * 2);
  touch(RESULTS, (network.outputs.length + 1) * 8);
  forward();
  constants.set(MEMBERSHIP, membershipOf(loss, network.tensors[network.output].channels));
  for (const { sums } of losses) sums();
  const forwardSteps = steps.length;
  // The counts of a validation follow the forward pass; a training step leaves them out.
  const countFloats = losses[0].counts(COUNTS);
  network.outputs.forEach((output, i) => losses[i].gradient(gradientRange(output).slot));
  for (const step of pass.steps) backwardStep(step);
  const squares = { gradientSlot: GRADIENTS, floats: layout.trainedFloats };
  add("gradient norm", planGradientNorm({ ...squares, resultSlot: RESULTS, resultOffset: network.outputs.length * 8 }));
  // A batch can be used again, and what a step gives is read after it.
  storedRange(0);
  for (const output of network.outputs) storedRange(output);
  for (const slot of [LABELS, RESULTS, COUNTS]) touch(slot);

  return {
    forward: steps.slice(0, forwardSteps),
    counts: steps[forwardSteps],
    only,
    backward: steps.slice(forwardSteps + 1),
    arena: planMemory(schedule.lifetimes()),
    layout,
    ...(options.adam && { adam: options.adam }),
    parameterSlots,
    gradientSlots,
    constants,
    inputSlot: slotOf(0),
    inputChannels: network.tensors[0].channels,
    labelSlot: LABELS,
    resultSlot: RESULTS,
    countsSlot: COUNTS,
    countFloats,
    outputs: graph.outputs.map((value) => {
      const index = computed.indexOf(value);
      if (index < 0) return undefined;
      const tensor = network.outputs[index];
      const { channels, grid } = network.tensors[tensor];
      return { slot: slotOf(tensor), channels, grid };
    }),
    scratchBytes: scratchOf(steps.map(({ operator }) => operator)),
  };
}

/** torch's weight and a zero bias that copy `channels` channels. */
function identityWeights(channels: number): Float32Array<ArrayBuffer> {
  const weights = new Float32Array(channels * channels + channels);
  for (let c = 0; c < channels; c++) weights[c * channels + c] = 1;
  return weights;
}
