/**
 * From a graph to everything the GPU engine must know before it allocates: operators in order, which blocks share which buffer, the
 * weights' layout. Pure; forecasts and programs are both made from it.
 */
import type { Vec3 } from "../core/base/shape.ts";
import type { CompileOptions, ProgramMemory, StepCost } from "../core/engine/engine.ts";
import { type FusedNetwork, fuseGraph, viewsOf } from "../core/graph/fuse.ts";
import type { Graph } from "../core/graph/graph.ts";
import { lowerForward, tablesOfWeights } from "../core/lowering/forward.ts";
import { createLowering, describeTensor, touchTensor } from "../core/lowering/lowering.ts";
import { convSource } from "../core/lowering/weights.ts";
import type { WantedCandidate } from "../kernels/wgsl/conv/plan_conv.ts";
import type { ConvLimits } from "../kernels/wgsl/conv/problem.ts";
import type { SlotLayout } from "../kernels/wgsl/kernel.ts";
import { forwardKernels, type GpuTypes } from "./kernel_set.ts";
import { planRun, type RunPlan, stepCosts } from "./run_plan.ts";
import { createStorage } from "./tensor_layout.ts";
import { createWeightLayout, type WeightLayout } from "./weight_layout.ts";
import { rawPacking } from "./weight_packing.ts";

export interface ProgramPlan extends RunPlan {
  readonly weights: WeightLayout;
  readonly input: SlotLayout;
  readonly output: SlotLayout;
  readonly inputChannels: number;
  readonly outputChannels: number;
  readonly outputGrid: Vec3;
}

/**
 * Plans a program for a device; `wanted` names the ways of convolutions that were measured to be the fastest.
 * @throws RangeError where the graph does not fit the patch, or an operator cannot be made for the device's limits.
 */
export function planProgram(
  graph: Graph,
  { patch, batch, precision }: CompileOptions,
  limits: ConvLimits,
  wanted?: WantedCandidate,
): ProgramPlan {
  const network = fuseGraph(graph, patch);
  checkConcatenations(network);
  const storage = createStorage(network, batch, precision, limits.maxBindingBytes);
  const kernels = forwardKernels(limits, wanted);
  const lowering = { ...createLowering<GpuTypes>(network, batch, "group"), kernels, storage };
  const weights = createWeightLayout();
  lowerForward<GpuTypes>(lowering, {
    ...tablesOfWeights(lowering, weights),
    weightSlot: () => weights.next(),
    placeWeights({ step, operator, weightSlot }) {
      const kernels = () => rawPacking(network, step, operator, weightSlot, limits);
      weights.packed({ operator, kernels, ...convSource(network, step) });
      return operator;
    },
  });
  // The input can be run again, with other weights; the output stays until the next run.
  for (const tensor of [0, network.output]) touchTensor(lowering, tensor);
  return {
    ...planRun(lowering.schedule),
    weights: weights.finish(),
    input: storage.at(0, "tensor").place.layout,
    output: storage.at(network.output, "tensor").place.layout,
    inputChannels: network.tensors[0].channels,
    outputChannels: network.tensors[network.output].channels,
    outputGrid: network.tensors[network.output].grid,
  };
}

/** What a program takes on a GPU that is `slowness` times as slow as the nominal one; `ownBytes` are the engine's beside it. */
export function programCosts(
  { weights, buffers, uniformBytes, steps }: ProgramPlan,
  slowness: number,
  ownBytes = 0,
): { readonly memory: ProgramMemory; readonly steps: readonly StepCost[] } {
  const scratch = uniformBytes + ownBytes + weights.stagingBytes;
  return {
    memory: { weights: weights.bytes, activations: buffers.bytes, scratch },
    steps: stepCosts(steps, slowness),
  };
}

/** No nnU-Net has a block that reads the concatenation it writes to; a GPU may not read and write one buffer in a dispatch. */
function checkConcatenations(network: FusedNetwork): void {
  const groupOf = (tensor: number) => network.tensors[tensor].group;
  for (const step of network.steps) {
    if (viewsOf(step).every(([{ tensor }]) => groupOf(tensor) !== groupOf(step.output))) continue;
    const what = `${step.kind} ${describeTensor(network, step.output)}`;
    throw new RangeError(`Planning ${what}: it reads the concatenation it writes to`);
  }
}
