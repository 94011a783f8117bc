/**
 * From a graph and its loss to everything a training step needs before it allocates: operators of the forward and backward pass in order,
 * which tensors, gradients and temporaries share a buffer, the parameters' layout. Pure.
 */
import { voxelCount } from "../../core/base/shape.ts";
import type { TrainingOptions } from "../../core/engine/training.ts";
import type { Graph } from "../../core/graph/graph.ts";
import { describeWeight, type PlannedConv } from "../../core/lowering/lowering.ts";
import { type LoweredTraining, lowerTraining, startTraining } from "../../core/lowering/training.ts";
import { parameterSlot, type Training } from "../../core/lowering/training_context.ts";
import { identityWeights } from "../../core/lowering/weights.ts";
import { planPackWeights } from "../../kernels/wgsl/conv/pack_kernels.ts";
import type { WantedCandidate } from "../../kernels/wgsl/conv/plan_conv.ts";
import type { ConvLimits } from "../../kernels/wgsl/conv/problem.ts";
import type { SlotLayout } from "../../kernels/wgsl/kernel.ts";
import { labelWords } from "../../kernels/wgsl/training/loss.ts";
import { type GpuOperator, type GpuTypes, trainingKernels } from "../kernel_set.ts";
import { addOptimizer } from "./optimizers.ts";
import { planRun, type RunPlan } from "../run_plan.ts";
import { createStorage } from "../tensor_layout.ts";
import { weightOrder } from "../weight_packing.ts";
import { layOutParameters, type ParameterLayout, SHARE_CHUNK_BYTES } from "./parameters.ts";
import { planShared, type SharedPlan } from "./shared_plan.ts";

/** Its steps end with the optimizer's. */
export interface TrainingPlan extends RunPlan, Omit<LoweredTraining<GpuOperator>, "steps" | "shared"> {
  readonly layout: ParameterLayout;
  /** Of a share of a batch. */
  readonly shared?: SharedPlan;
  readonly input: SlotLayout;
  /** Of a batch's images as they come, f32 (sample, channels, z, y, x). */
  readonly imageBytes: number;
}

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
  const { patch, batch, precision } = options;
  const start = startTraining<GpuTypes>(graph, options, "group");
  const storage = createStorage(start.network, batch, precision, limits.maxBindingBytes);
  const training: Training<GpuTypes> = { ...start, kernels: trainingKernels(start, limits, wanted), storage };
  const chunkBytes = options.share && SHARE_CHUNK_BYTES;
  const layout = layOutParameters(graph, training.trained, limits.maxBindingBytes, chunkBytes);
  const { steps, shared, ...lowered } = lowerTraining(training, {
    labelBytes: batch * labelWords(patch) * 4,
    resultBytes: 4,
    weightSlot: ({ output }) => `packed:${output}`,
    placeWeights: (conv) => packedConv(training, limits, conv),
    addOptimizer: () => addOptimizer(training, layout),
  });
  return {
    ...planRun(training.schedule),
    ...lowered,
    layout,
    ...(shared && { shared: planShared(steps, layout, shared, lowered.resultCount - 1) }),
    input: storage.at(0, "tensor").place.layout,
    imageBytes: batch * lowered.inputChannels * voxelCount(patch) * 4,
  };
}

/** A convolution behind what packs its weights in every step; those of a copy are constants. */
function packedConv(
  { network, schedule, constants }: Training<GpuTypes>,
  limits: ConvLimits,
  { step, weightSlot, operator }: PlannedConv<GpuTypes>,
): GpuOperator {
  if (step.weight === undefined) {
    if (step.input.length !== 1) throw new RangeError("Planning a training: a copy of a concatenation");
    const packed = new Float32Array(operator.weightBytes / 4);
    operator.pack(identityWeights(network.tensors[step.output].channels), undefined, packed);
    constants.set(weightSlot, packed);
    return operator;
  }
  schedule.touch(weightSlot, operator.weightBytes, operator.weightSegmentBytes);
  const packing = planPackWeights({
    ...weightOrder(network, step),
    name: describeWeight(step),
    packing: operator.packing,
    sourceSlot: parameterSlot(step.weight),
    ...(step.bias !== undefined && { biasSlot: parameterSlot(step.bias) }),
    flipped: false,
    targetSlot: weightSlot,
    limits,
  });
  return { ...operator, dispatches: [...packing, ...operator.dispatches] };
}
