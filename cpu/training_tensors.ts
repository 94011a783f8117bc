/** Where a training's tensors and their gradients lie in memory, and how the operators of a step see them. */
import { voxelCount } from "../core/base/shape.ts";
import type { BackwardPass } from "../core/graph/backward.ts";
import type { FusedNetwork, TensorId, View } from "../core/graph/fuse.ts";
import type { Operand, Target } from "../kernels/wasm/kernel.ts";
import type { TensorRange } from "../kernels/wasm/training/norm.ts";
import { type NormTables, tableKey } from "./program_plan.ts";
import type { Schedule } from "./training_schedule.ts";

/** What the parts of a training's plan are made from. */
export interface TrainingContext {
  readonly network: FusedNetwork;
  readonly pass: BackwardPass;
  readonly batch: number;
  readonly tables: NormTables;
  readonly schedule: Schedule;
}

/** Every range that is asked for is noted as used by the schedule's next step. */
export interface TrainingTensors {
  slotOf(tensor: TensorId): string;
  storedRange(tensor: TensorId): TensorRange;
  gradientRange(tensor: TensorId): TensorRange;
  read(view: View): Operand;
  write(tensor: TensorId): Target;
}

export function createTrainingTensors(
  { network, pass, batch, tables, schedule: { touch } }: TrainingContext,
): TrainingTensors {
  const slotOf = (tensor: TensorId) => `tensor:${network.tensors[tensor].group}`;

  /** A tensor's channel range in memory. */
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

  return { slotOf, storedRange, gradientRange, read, write };
}

/** A tensor's sums for its norm. */
export const statisticsOf = (tensor: TensorId) => `statistics:${tensor}`;
