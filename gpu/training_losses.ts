/** The losses of a training step as steps: targets and sums after the forward pass, gradients of the logits before the backward pass. */
import { type Vec3, voxelCount } from "../core/base/shape.ts";
import type { LossOptions } from "../core/engine/training.ts";
import { membersOf } from "../core/engine/training_checks.ts";
import type { ConvLimits } from "../kernels/wgsl/conv/problem.ts";
import {
  countBytes,
  planLossCounts,
  planLossGradient,
  planLossSums,
  planLossTarget,
} from "../kernels/wgsl/training/loss.ts";
import { coefficientBytes, membershipTable, nearestExact } from "../kernels/operators/training/loss.ts";
import type { LossShape } from "../kernels/wgsl/training/loss_spec.ts";
import type { TensorRange } from "../kernels/wgsl/training/tensors.ts";
import type { Schedule } from "./training_schedule.ts";

/** An output with a loss. */
export interface LossOutput {
  /** Names its slots. */
  readonly name: string;
  readonly grid: Vec3;
  /** Of its loss among all, and its place among the results. */
  readonly weight: number;
  readonly index: number;
  /** The logits as the next step reads them. */
  readonly logits: () => TensorRange;
}

export interface LossPlan {
  readonly schedule: Schedule;
  readonly batch: number;
  readonly loss: LossOptions;
  /** i16 label maps, and their grid. */
  readonly labelSlot: string;
  readonly labelGrid: Vec3;
  /** f32. */
  readonly resultSlot: string;
  readonly optionsSlot: string;
  /** What never changes, which this adds to. */
  readonly constants: Map<string, Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>>;
  readonly limits: ConvLimits;
}

const MEMBERSHIP = "membership";

/** The steps of an output's loss. */
export function planLoss(plan: LossPlan, { name, grid, weight, index, logits }: LossOutput) {
  const { schedule, batch, loss, constants, limits } = plan;
  const size = grid.join("x");
  const coefficientsSlot = `coefficients:${name}`;

  /** The operands of the next step. */
  function operands(): LossShape {
    const shape = {
      ...{ batch, grid, logits: logits(), membershipSlot: MEMBERSHIP, limits },
      ...{ targetSlot: `target:${name}`, softmaxSlot: `softmax:${name}` },
      regions: loss.target.kind === "regions",
      ...(loss.topK && { topK: { ...loss.topK, entropiesSlot: `entropies:${name}` } }),
    };
    const voxels = batch * voxelCount(grid);
    schedule.touch(shape.targetSlot, voxels * 4);
    if (!shape.regions) schedule.touch(shape.softmaxSlot, voxels * 8);
    if (shape.topK) schedule.touch(shape.topK.entropiesSlot, voxels * 4);
    return shape;
  }

  return {
    /** The target at the output's resolution, the loss, and the coefficients of its gradient. */
    sums(): void {
      const shape = operands();
      const { channels } = shape.logits;
      const members = membersOf(loss, channels);
      const axesSlot = `axes:${name}`;
      constants.set(MEMBERSHIP, membershipTable(members, channels));
      const axes = [0, 1, 2].flatMap((axis) => nearestExact(plan.labelGrid[axis], grid[axis]));
      constants.set(axesSlot, Uint32Array.from(axes));
      schedule.touch(plan.labelSlot);
      const target = planLossTarget({
        ...{ ...shape, labelGrid: plan.labelGrid, labelSlot: plan.labelSlot, axesSlot, labels: members.length },
        ...(loss.ignoreLabel !== undefined && { ignoreLabel: loss.ignoreLabel }),
      });
      schedule.add(`target ${size}`, target);
      operands();
      schedule.touch(plan.resultSlot);
      schedule.touch(coefficientsSlot, coefficientBytes(batch, channels));
      const { batchDice, smooth, diceWeight, crossEntropyWeight } = loss;
      const sums = planLossSums({
        ...{ ...shape, batchDice, smooth, diceWeight, crossEntropyWeight },
        ignores: loss.ignoreLabel !== undefined,
        ...{ outputWeight: weight, optionsSlot: plan.optionsSlot, coefficientsSlot },
        ...{ resultSlot: plan.resultSlot, resultIndex: index },
      });
      schedule.add(`loss ${size}`, sums);
    },
    /** True and false positives and negatives. @returns how many bytes they are. */
    counts(countsSlot: string): number {
      const shape = operands();
      const bytes = countBytes({ batch, grid, channels: shape.logits.channels });
      schedule.touch(countsSlot, bytes);
      schedule.add(`counts ${size}`, planLossCounts({ ...shape, countsSlot }));
      return bytes;
    },
    /** @param gradient of the logits, as the next step writes it */
    gradient(gradient: TensorRange): void {
      const shape = operands();
      schedule.touch(coefficientsSlot);
      schedule.add(`loss gradient ${size}`, planLossGradient({ ...shape, coefficientsSlot, gradient }));
    },
  };
}
