/**
 * From a graph and its loss to everything a training step needs before it allocates: operators of the forward and backward pass in order,
 * which tensors, gradients and temporaries share a buffer, the parameters' layout. Pure.
 */
import { type Vec3, voxelCount } from "../core/base/shape.ts";
import type { AdamOptions, TrainingOptions } from "../core/engine/training.ts";
import { checkTrainingOptions } from "../core/engine/training_checks.ts";
import { type BackwardStep, type ConvStep, planBackward } from "../core/graph/backward.ts";
import { fuseGraph, parametersRead, type View } from "../core/graph/fuse.ts";
import type { Graph } from "../core/graph/graph.ts";
import { planDataGradient } from "../kernels/wgsl/conv/data_gradient.ts";
import type { GradientProblem } from "../kernels/operators/conv/gradient_problem.ts";
import { planPackWeights } from "../kernels/wgsl/conv/pack_kernels.ts";
import { planTrainedConv, planTransposedConv, type WantedCandidate } from "../kernels/wgsl/conv/plan_conv.ts";
import type { ConvLimits, WgslConvOperator } from "../kernels/wgsl/conv/problem.ts";
import { planWeightGradient } from "../kernels/wgsl/conv/weight_gradient.ts";
import { planAveragePool } from "../kernels/wgsl/elementwise/pool.ts";
import { planResidualAdd } from "../kernels/wgsl/elementwise/residual.ts";
import type { SlotLayout } from "../kernels/wgsl/kernel.ts";
import { labelWords } from "../kernels/wgsl/training/loss.ts";
import { planAdamUpdate } from "../kernels/wgsl/training/adam.ts";
import { planGradientNorm, planSgdUpdate } from "../kernels/wgsl/training/optimizer.ts";
import { planGradientPass, planPoolBackward } from "../kernels/wgsl/training/passes.ts";
import { collectTables, type RunPlan } from "./program_plan.ts";
import { planLoss } from "./training_losses.ts";
import { createTrainingNorms } from "./training_norms.ts";
import { gradientSlot, layOutParameters, type ParameterLayout, parameterSlot } from "./training_parameters.ts";
import { createSchedule } from "./training_schedule.ts";
import { createTrainingTensors, statisticsOf } from "./training_tensors.ts";

/** Logits of an output with a loss, f32. */
export interface PlannedOutput {
  readonly slot: string;
  readonly channels: number;
  readonly grid: Vec3;
}

/** Its steps are those of the forward pass and the losses, the counts of a validation, the backward pass and the optimizer. */
export interface TrainingPlan extends RunPlan {
  readonly forwardSteps: number;
  /** Steps of the forward pass that only one of both runs: batch norm is another thing to each. */
  readonly only: ReadonlyMap<number, "training" | "validation">;
  readonly layout: ParameterLayout;
  readonly adam?: AdamOptions;
  /** What never changes. */
  readonly constants: ReadonlyMap<string, Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>>;
  readonly input: SlotLayout;
  readonly inputChannels: number;
  /** f32 parts [...][3][padded channels]: true positives, false positives, false negatives. */
  readonly countBytes: number;
  /** By graph output; undefined where the loss has weight 0. */
  readonly outputs: readonly (PlannedOutput | undefined)[];
}

/** i16 (batch, z, y, x), each sample in whole words. */
export const LABELS = "labels";
/** f32: the weighted loss of every computed output, then the sum of the gradients' squares. */
export const RESULTS = "results";
export const COUNTS = "counts";
/** f32: see OPTION. */
export const OPTIONS = "options";
export const ADAM_STATE = "Adam's state";

/**
 * Plans a training for a device; `wanted` names the ways of convolutions that were measured to be the fastest.
 * @throws UserError naming a node kind or option that cannot be trained.
 */
export function planTraining(
  graph: Graph,
  options: TrainingOptions,
  limits: ConvLimits,
  wanted?: WantedCandidate,
): TrainingPlan {
  const { patch, batch, loss, outputWeights, precision } = options;
  checkTrainingOptions(graph, options);
  const computed = graph.outputs.filter((_, i) => outputWeights[i] !== 0);
  const network = fuseGraph(graph, patch, computed, true);
  const pass = planBackward(network);
  const layout = layOutParameters(graph, parametersRead(network.steps), limits.maxBindingBytes);
  const constants = new Map<string, Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>>();
  const schedule = createSchedule();
  const { steps, touch, add } = schedule;
  const context = { network, pass, batch, precision, limits, tables: collectTables(network), schedule };
  const tensors = createTrainingTensors(context);
  const { storedRange, gradientRange, read, write } = tensors;
  const { statisticsParts, only, writeTables, writeMoments, backwardOfView } = createTrainingNorms(context, tensors);
  const nameOf = ({ weight }: ConvStep) => weight?.replace(/\.weight$/, "") ?? "copy";
  const partsOf = (view: View) => view.map(({ tensor }) => network.tensors[tensor].channels);

  function describe(conv: ConvStep): string {
    const { channels, grid } = network.tensors[conv.output];
    const kind = conv.kind === "conv" ? "conv" : "transposed conv";
    return `${kind} ${nameOf(conv)} ${partsOf(conv.input).join("+")}->${channels} ${grid.join("x")}`;
  }

  function forwardOfConv(conv: ConvStep): void {
    const { channels, statistics } = network.tensors[conv.output];
    const weightSlot = `packed:${conv.output}`;
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
      limits,
    };
    const operator = conv.kind === "conv"
      ? planTrainedConv({ ...problem, kernel: conv.kernel }, wanted)
      : planTransposedConv(problem, wanted);
    if (operator.statistics) {
      statisticsParts.set(conv.output, operator.statistics.parts);
      touch(statisticsOf(conv.output), operator.statistics.bytes);
    }
    if (conv.weight === undefined) {
      constants.set(weightSlot, identity(operator, channels, conv.input));
      add(describe(conv), operator);
      return;
    }
    touch(weightSlot, operator.weightBytes, operator.weightSegmentBytes);
    add(describe(conv), { ...operator, dispatches: [...packing(conv, operator, weightSlot), ...operator.dispatches] });
  }

  function packing(conv: ConvStep, operator: WgslConvOperator, targetSlot: string) {
    const { channels } = network.tensors[conv.output];
    const inputParts = partsOf(conv.input);
    const inputs = inputParts.reduce((a, b) => a + b);
    const kernel = kernelOf(conv);
    const taps = voxelCount(kernel);
    const [outputStep, inputStep] = conv.kind === "conv" ? [inputs * taps, taps] : [taps, channels * taps];
    return planPackWeights({
      ...{ name: nameOf(conv), packing: operator.packing, sourceSlot: parameterSlot(conv.weight ?? "") },
      ...{ outputStep, inputStep, kernel, flipped: false, inputParts, outputParts: [channels], targetSlot, limits },
      ...(conv.bias !== undefined && { biasSlot: parameterSlot(conv.bias) }),
    });
  }

  /** The packed weights of a copy. */
  function identity(operator: WgslConvOperator, channels: number, view: View): Float32Array<ArrayBuffer> {
    if (view.length !== 1) throw new RangeError("Planning a training: a copy of a concatenation");
    const weights = new Float32Array(channels * channels);
    for (let c = 0; c < channels; c++) weights[c * channels + c] = 1;
    const packed = new Float32Array(operator.weightBytes / 4);
    operator.pack(weights, undefined, packed);
    return packed;
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

  function gradientProblem(conv: ConvStep): GradientProblem {
    return {
      name: nameOf(conv),
      batch,
      inputGrid: network.tensors[conv.input[0].tensor].grid,
      kernel: kernelOf(conv),
      stride: conv.stride,
      transposed: conv.kind === "transposedConv",
    };
  }

  function dataGradient(conv: ConvStep, accumulate: boolean): void {
    const { channels: _, ...inputGradient } = gradientRange(conv.input[0].tensor);
    const packedSlot = `packed gradient:${conv.output}`;
    const operator = planDataGradient({
      ...gradientProblem(conv),
      outputGradient: gradientRange(conv.output),
      inputGradient,
      inputParts: partsOf(conv.input),
      weightSlot: parameterSlot(conv.weight ?? ""),
      ...{ packedSlot, accumulate, limits },
    }, wanted);
    touch(packedSlot, operator.packed.bytes, operator.packed.segmentBytes);
    add(`data gradient ${describe(conv)}`, operator);
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
            ...{ ...gradientProblem(conv), limits },
            input: read(conv.input),
            outputGradient: gradientRange(conv.output),
            weightGradientSlot: gradientSlot(conv.weight ?? ""),
            ...(step.bias && { biasGradientSlot: gradientSlot(conv.bias ?? "") }),
          }, wanted),
        );
        break;
      }
      case "data":
        dataGradient(step.conv, step.accumulate);
        break;
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
            limits,
          }),
        );
      }
    }
  }

  touch(LABELS, batch * labelWords(patch) * 4);
  touch(RESULTS, (network.outputs.length + 1) * 4);
  forward();
  const weights = outputWeights.filter((weight) => weight !== 0);
  const common = { labelSlot: LABELS, labelGrid: patch, resultSlot: RESULTS, optionsSlot: OPTIONS, constants, limits };
  const losses = network.outputs.map((output, index) => {
    const { grid } = network.tensors[output];
    const logits = () => storedRange(output);
    return planLoss(
      { schedule, batch, loss, ...common },
      { name: String(output), grid, weight: weights[index], index, logits },
    );
  });
  for (const one of losses) one.sums();
  const forwardSteps = steps.length;
  // The counts of a validation follow the forward pass; a training step leaves them out.
  const countBytes = losses[0].counts(COUNTS);
  losses.forEach((one, i) => one.gradient(gradientRange(network.outputs[i])));
  for (const step of pass.steps) backwardStep(step);
  const ranges = layout.chunks.flatMap(({ floats, trained }, chunk) =>
    trained
      ? [{
        floats,
        gradientSlot: `gradients ${chunk}`,
        parameterSlot: `parameters ${chunk}`,
        momentumSlot: `momentum ${chunk}`,
        averagesSlot: `averages ${chunk}`,
        ...(options.adam?.amsgrad && { largestSlot: `largest ${chunk}` }),
      }]
      : []
  );
  const optimizer = { ranges, optionsSlot: OPTIONS, resultSlot: RESULTS, resultIndex: network.outputs.length };
  add("gradient norm", planGradientNorm(optimizer));
  if (options.adam) add("Adam", planAdamUpdate({ ...optimizer, ...options.adam, stateSlot: ADAM_STATE }));
  else add("SGD", planSgdUpdate(optimizer));
  // A batch can be used again, and what a step gives is read after it.
  const input = storedRange(0).layout;
  for (const output of network.outputs) storedRange(output);
  for (const slot of [LABELS, RESULTS, COUNTS]) touch(slot);

  return {
    ...schedule.finish(),
    forwardSteps,
    only,
    layout,
    ...(options.adam && { adam: options.adam }),
    constants,
    input,
    inputChannels: network.tensors[0].channels,
    countBytes,
    outputs: graph.outputs.map((value) => {
      const index = computed.indexOf(value);
      if (index < 0) return undefined;
      const { channels, grid, group } = network.tensors[network.outputs[index]];
      return { slot: `tensor:${group}`, channels, grid };
    }),
  };
}

const kernelOf = (conv: ConvStep): Vec3 => conv.kind === "conv" ? conv.kernel : conv.stride;
