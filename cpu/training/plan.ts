/**
 * From a graph and its loss to everything a training step needs before it allocates: operators of the forward and backward pass in order,
 * the place of every tensor, gradient and temporary in one arena by lifetime, the parameters' layout. Pure.
 */
import { voxelCount } from "../../core/base/shape.ts";
import { UserError } from "../../core/base/errors.ts";
import type { TrainingOptions } from "../../core/engine/training.ts";
import type { Graph } from "../../core/graph/graph.ts";
import type { MemoryPlan } from "../../core/graph/memory_plan.ts";
import { type LoweredTraining, lowerTraining, startTraining } from "../../core/lowering/training.ts";
import { gradientSlot, parameterSlot, RESULTS, type Training } from "../../core/lowering/training_context.ts";
import { identityWeights } from "../../core/lowering/weights.ts";
import type { Operator } from "../../kernels/wasm/kernel.ts";
import { planGradientNorm } from "../../kernels/wasm/training/optimizer.ts";
import { type CpuTypes, packingInEveryRun, RESULT_BYTES, TRAINING_KERNELS } from "../kernel_set.ts";
import { arenaOf, scratchOf } from "../program_plan.ts";
import { groupStorage } from "../tensor_places.ts";
import { layOutParameters, type ParameterLayout } from "./parameters.ts";

/** Temporaries of step i are `temporaryBlock(i, ...)`; of the optimizer only the gradients' norm is among the steps. */
export interface TrainingPlan extends LoweredTraining<Operator> {
  readonly arena: MemoryPlan;
  readonly layout: ParameterLayout;
  /** Slots in the parameters and in their gradients, as first floats. */
  readonly parameterSlots: ReadonlyMap<string, number>;
  readonly gradientSlots: ReadonlyMap<string, number>;
  readonly inputSlot: string;
  readonly scratchBytes: number;
}

const GRADIENTS = "gradients";

/** @throws UserError naming a node kind or option that cannot be trained. */
export function planTraining(graph: Graph, options: TrainingOptions): TrainingPlan {
  if (options.precision !== "f32") {
    throw new UserError({
      doing: "planning the training of the network",
      problem: `the CPU engine trains in f32, not ${options.precision}`,
      remedy: "leave out --precision",
    });
  }
  const { batch, patch } = options;
  const start = startTraining<CpuTypes>(graph, options, "view");
  const storage = groupStorage(start.network, batch);
  const training: Training<CpuTypes> = { ...start, kernels: TRAINING_KERNELS, storage };
  const { network, schedule, constants } = training;
  const layout = layOutParameters(graph, training.trained);
  const slotsOf = (slot: (name: string) => string) =>
    new Map(layout.parameters.map(({ name, offset }) => [slot(name), offset]));
  const [parameterSlots, gradientSlots] = [slotsOf(parameterSlot), slotsOf(gradientSlot)];
  gradientSlots.set(GRADIENTS, 0);
  const lowered = lowerTraining(training, {
    labelBytes: batch * voxelCount(patch) * 2,
    resultBytes: RESULT_BYTES,
    weightSlot: ({ weight, output }) => `packed:${weight ?? output}`,
    placeWeights({ step, name, weightSlot, operator }) {
      if (!operator.packing) throw new Error(`Planning ${name}: the operator has no packing kernels`);
      const { sourceSlot } = operator.packing;
      if (step.weight === undefined) constants.set(sourceSlot, copyWeights(network.tensors[step.output].channels));
      else parameterSlots.set(sourceSlot, parameterSlots.get(parameterSlot(step.weight)) ?? 0);
      return packingInEveryRun(operator, weightSlot);
    },
    addOptimizer() {
      const result = { resultSlot: RESULTS, resultOffset: network.outputs.length * RESULT_BYTES };
      const norm = planGradientNorm({ gradientSlot: GRADIENTS, floats: layout.trainedFloats, ...result });
      schedule.add("gradient norm", norm);
    },
  });
  return {
    ...lowered,
    arena: arenaOf(schedule),
    layout,
    parameterSlots,
    gradientSlots,
    inputSlot: storage.at(0, "tensor").slot,
    scratchBytes: scratchOf(lowered.steps),
  };
}

/** torch's weight and a zero bias that copy `channels` channels. */
function copyWeights(channels: number): Float32Array<ArrayBuffer> {
  const weights = new Float32Array(channels * channels + channels);
  weights.set(identityWeights(channels));
  return weights;
}
