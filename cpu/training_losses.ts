/** The losses of a training step as steps: targets and sums after the forward pass, gradients of the logits before the backward pass. */
import { padToFour, type Vec3, voxelCount } from "../core/base/shape.ts";
import type { LossOptions } from "../core/engine/training.ts";
import { membersOf } from "../core/engine/training_checks.ts";
import {
  countBytes,
  type LossShape,
  planLossCounts,
  planLossGradient,
  planLossSums,
  planLossTarget,
} from "../kernels/wasm/training/loss.ts";
import { coefficientBytes, membershipTable } from "../kernels/operators/training/loss.ts";
import type { Schedule } from "./training_schedule.ts";

/** An output with a loss. */
export interface LossOutput {
  /** Names its slots. */
  readonly name: string;
  readonly channels: number;
  readonly grid: Vec3;
  /** Of its loss among all. */
  readonly weight: number;
  readonly logitsSlot: string;
}

export interface LossPlan {
  readonly schedule: Schedule;
  readonly batch: number;
  readonly loss: LossOptions;
  /** i16 label maps, their grid, and f64 results: output i's weighted loss is the i-th. */
  readonly labelSlot: string;
  readonly labelGrid: Vec3;
  readonly resultSlot: string;
  /** f32 table of {@link membershipOf}. */
  readonly membershipSlot: string;
}

/** Which channels every label counts for, as {@link membershipTable} has it. */
export function membershipOf(loss: LossOptions, channels: number): Float32Array<ArrayBuffer> {
  return membershipTable(membersOf(loss, channels), channels);
}

/** The steps of an output's loss. */
export function planLoss({ schedule, batch, loss, ...slots }: LossPlan, output: LossOutput, index: number) {
  const { channels, grid, logitsSlot } = output;
  const size = `${channels} ${grid.join("x")}`;
  const coefficientsSlot = `coefficients:${output.name}`;
  const { membershipSlot } = slots;
  const shape: LossShape = {
    ...{ batch, grid, channels, logitsSlot, targetSlot: `target:${output.name}`, membershipSlot },
    regions: loss.target.kind === "regions",
    ...(loss.topK && { topK: { ...loss.topK, entropiesSlot: `entropies:${output.name}` } }),
  };

  function touchOperands(): void {
    schedule.touch(logitsSlot);
    schedule.touch(shape.targetSlot, batch * voxelCount(grid) * 4);
    if (shape.topK) schedule.touch(shape.topK.entropiesSlot, batch * voxelCount(grid) * 4);
  }

  return {
    /** The target at the output's resolution, the loss, and the coefficients of its gradient. */
    sums(): void {
      schedule.touch(slots.labelSlot);
      schedule.touch(shape.targetSlot, batch * voxelCount(grid) * 4);
      const target = planLossTarget({
        ...{ batch, labelGrid: slots.labelGrid, labelSlot: slots.labelSlot, grid, targetSlot: shape.targetSlot },
        ...(loss.ignoreLabel !== undefined && { ignoreLabel: loss.ignoreLabel }),
        labels: membersOf(loss, channels).length,
        paddedChannels: padToFour(channels),
      });
      schedule.add(`target ${grid.join("x")}`, target);
      touchOperands();
      schedule.touch(slots.resultSlot);
      schedule.touch(coefficientsSlot, coefficientBytes(batch, channels));
      const { batchDice, smooth, diceWeight, crossEntropyWeight } = loss;
      const sums = planLossSums({
        ...{ ...shape, batchDice, smooth, diceWeight, crossEntropyWeight },
        ignores: loss.ignoreLabel !== undefined,
        outputWeight: output.weight,
        ...{ resultSlot: slots.resultSlot, resultOffset: index * 8, coefficientsSlot },
      });
      schedule.add(`loss ${size}`, sums);
    },
    /** True and false positives and negatives. @returns how many floats they are. */
    counts(countsSlot: string): number {
      touchOperands();
      const bytes = countBytes(shape);
      schedule.touch(countsSlot, bytes);
      schedule.add(`counts ${size}`, planLossCounts({ ...shape, countsSlot }));
      return bytes / 4;
    },
    gradient(gradientSlot: string): void {
      touchOperands();
      schedule.touch(coefficientsSlot);
      schedule.add(`loss gradient ${size}`, planLossGradient({ ...shape, coefficientsSlot, gradientSlot }));
    },
  };
}
