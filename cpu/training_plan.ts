/**
 * From a graph and its loss to everything a training step needs before it allocates: operators of the forward and backward pass in order,
 * the place of every tensor, gradient and temporary in one arena by lifetime, the parameters' layout. Pure.
 */
import { type Vec3, voxelCount } from "../core/base/shape.ts";
import { UserError } from "../core/base/errors.ts";
import type { AdamOptions, TrainingOptions } from "../core/engine/training.ts";
import { checkTrainingOptions } from "../core/engine/training_checks.ts";
import { type BackwardStep, type ConvStep, planBackward } from "../core/graph/backward.ts";
import { fuseGraph, parametersRead } from "../core/graph/fuse.ts";
import type { Graph } from "../core/graph/graph.ts";
import { type MemoryPlan, planMemory } from "../core/graph/memory_plan.ts";
import type { GradientProblem } from "../kernels/operators/conv/gradient_problem.ts";
import { planConvWithPacking, planTransposedConv } from "../kernels/wasm/conv/plan_conv.ts";
import { planDataGradient } from "../kernels/wasm/conv/plan_data_gradient.ts";
import { planWeightGradient } from "../kernels/wasm/conv/plan_weight_gradient.ts";
import { planAveragePool, planResidualAdd } from "../kernels/wasm/elementwise/residual.ts";
import type { Operand } from "../kernels/wasm/kernel.ts";
import type { TensorRange } from "../kernels/wasm/training/norm.ts";
import { planGradientNorm } from "../kernels/wasm/training/optimizer.ts";
import { planGradientPass, planPoolBackward } from "../kernels/wasm/training/passes.ts";
import { collectTables, packingInEveryRun } from "./program_plan.ts";
import { type PlannedStep, scratchOf } from "./program_plan.ts";
import { type LossPlan, membershipOf, planLoss } from "./training_losses.ts";
import { layOutParameters, type ParameterLayout } from "./training_parameters.ts";
import { createTrainingNorms } from "./training_norms.ts";
import { createSchedule } from "./training_schedule.ts";
import { createTrainingTensors, statisticsOf } from "./training_tensors.ts";

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
  const context = { network, pass, batch, tables: collectTables(network), schedule };
  const tensors = createTrainingTensors(context);
  const { slotOf, storedRange, gradientRange, read, write } = tensors;
  const { statisticsParts, only, writeTables, writeMoments, backwardOfView } = createTrainingNorms(context, tensors);

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

function asOperand({ channels, ...range }: TensorRange): Operand {
  return { ...range, parts: [channels] };
}
