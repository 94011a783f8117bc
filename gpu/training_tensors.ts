/** Where a training's tensors and their gradients lie on the device, and how the operators of a step see them. */
import type { Precision } from "../core/engine/engine.ts";
import type { BackwardPass } from "../core/graph/backward.ts";
import type { FusedNetwork, TensorId, View } from "../core/graph/fuse.ts";
import type { ConvLimits } from "../kernels/wgsl/conv/problem.ts";
import type { WgslOperand, WgslTarget } from "../kernels/wgsl/kernel.ts";
import type { TensorRange } from "../kernels/wgsl/training/tensors.ts";
import { BYTES, type NormTables, tableKey, tensorLayout } from "./program_plan.ts";
import type { Schedule } from "./training_schedule.ts";

/** What the parts of a training's plan are made from. */
export interface TrainingContext {
  readonly network: FusedNetwork;
  readonly pass: BackwardPass;
  readonly batch: number;
  readonly precision: Precision;
  readonly limits: ConvLimits;
  readonly tables: NormTables;
  readonly schedule: Schedule;
}

/** Every range that is asked for is noted as used by the schedule's next step. */
export interface TrainingTensors {
  storedRange(tensor: TensorId): TensorRange;
  gradientRange(tensor: TensorId): TensorRange;
  read(view: View): WgslOperand;
  write(tensor: TensorId): WgslTarget;
}

export function createTrainingTensors(
  { network, pass, batch, precision, limits, tables, schedule: { touch } }: TrainingContext,
): TrainingTensors {
  // Images and logits are no activations.
  const ends = [0, ...network.outputs].map((tensor) => network.tensors[tensor].group);
  const typeOf = (group: number) => ends.includes(group) ? "f32" as const : precision;

  /** A tensor's channel range in a slot of its group's shape. */
  function rangeOf(tensor: TensorId, slot: string): TensorRange {
    const { group, channelOffset, channels } = network.tensors[tensor];
    const shape = network.groups[group];
    const layout = tensorLayout(slot, batch, shape, typeOf(group), limits.maxBindingBytes);
    const elementBytes = 4 * BYTES[layout.type];
    touch(slot, layout.length * elementBytes, layout.segmentLength * elementBytes);
    return { layout, channelStride: shape.channelStride, channelOffset, channels };
  }

  const storedRange = (tensor: TensorId) => rangeOf(tensor, `tensor:${network.tensors[tensor].group}`);

  function gradientRange(tensor: TensorId): TensorRange {
    const shared = pass.sharedGradients.get(tensor);
    if (shared !== undefined) return gradientRange(shared);
    return rangeOf(tensor, `tensorGradient:${network.tensors[tensor].group}`);
  }

  function read(view: View): WgslOperand {
    const { channels: _, ...first } = storedRange(view[0].tensor);
    const table = tables.get(tableKey(view));
    if (table) touch(table.slot);
    const parts = view.map(({ tensor }) => network.tensors[tensor].channels);
    return { ...first, parts, ...(table && { normSlot: table.slot }) };
  }

  function write(tensor: TensorId): WgslTarget {
    const statistics = network.tensors[tensor].statistics;
    return { ...storedRange(tensor), ...(statistics && { statisticsSlot: statisticsOf(tensor) }) };
  }

  return { storedRange, gradientRange, read, write };
}

/** A tensor's sums for its norm. */
export const statisticsOf = (tensor: TensorId) => `statistics:${tensor}`;
