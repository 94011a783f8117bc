/** The GPU's kernels as the lowering takes them, for a device's limits and with what was measured on it. */
import type { EngineTypes, Kernels, TrainingKernels } from "../core/lowering/kernels.ts";
import type { TrainingStart } from "../core/lowering/training_context.ts";
import { coefficientBytes, membershipTable, nearestExact } from "../kernels/operators/training/loss.ts";
import { planDataGradient } from "../kernels/wgsl/conv/data_gradient.ts";
import { planConv, planTrainedConv, planTransposedConv, type WantedCandidate } from "../kernels/wgsl/conv/plan_conv.ts";
import type { ConvLimits, WgslConvOperator } from "../kernels/wgsl/conv/problem.ts";
import { planWeightGradient } from "../kernels/wgsl/conv/weight_gradient.ts";
import { planNormConstant, planNormFinalize } from "../kernels/wgsl/elementwise/norm.ts";
import { planAveragePool } from "../kernels/wgsl/elementwise/pool.ts";
import { planResidualAdd } from "../kernels/wgsl/elementwise/residual.ts";
import type { WgslOperand, WgslOperator } from "../kernels/wgsl/kernel.ts";
import { planBatchMoments, planNormFromMoments, planShareMoments } from "../kernels/wgsl/training/batch_norm.ts";
import * as loss from "../kernels/wgsl/training/loss.ts";
import { planNormApply, planNormBackward, planNormSums } from "../kernels/wgsl/training/norm.ts";
import { planGradientPass, planPoolBackward } from "../kernels/wgsl/training/passes.ts";
import { TOP_COUNTS, TOP_STATE_BYTES } from "../kernels/wgsl/training/top_k.ts";

/** `seconds`: forecast for a nominal large GPU. */
export type GpuOperator = WgslOperator & { readonly seconds?: number };

export interface GpuTypes extends EngineTypes {
  readonly place: Pick<WgslOperand, "layout" | "channelStride" | "channelOffset">;
  readonly operator: GpuOperator;
  readonly conv: WgslConvOperator;
}

/** f32: what changes from step to step, see OPTION. */
export const OPTIONS = "options";

/** What prediction runs. */
export function forwardKernels(limits: ConvLimits, wanted?: WantedCandidate): Kernels<GpuTypes> {
  return {
    planConv: (problem) => planConv({ ...problem, limits }, wanted),
    planTransposedConv: (problem) => planTransposedConv({ ...problem, limits }, wanted),
    planResidualAdd,
    planAveragePool,
    planNormConstant,
    planNormFinalize,
  };
}

/** What training runs. Weights packed for data gradients and tables of targets are added to the training's blocks and constants. */
export function trainingKernels(
  { schedule, constants }: TrainingStart<GpuTypes>,
  limits: ConvLimits,
  wanted?: WantedCandidate,
): TrainingKernels<GpuTypes> {
  return {
    ...forwardKernels(limits, wanted),
    planConv: (problem) => planTrainedConv({ ...problem, limits }, wanted),
    planTrainedNorm: planNormFinalize,
    planNormFromMoments,
    planBatchMoments,
    planNormBackward: (norm) => planNormBackward({ ...norm, limits }),
    planGradientPass,
    planPoolBackward: (pool) => planPoolBackward({ ...pool, limits }),
    planWeightGradient: (problem) => planWeightGradient({ ...problem, limits }, wanted),
    planDataGradient({ inputGradient: { parts: inputParts, ...inputGradient }, ...problem }) {
      const operator = planDataGradient({ ...problem, inputGradient, inputParts, limits }, wanted);
      schedule.touch(problem.packedSlot, operator.packed.bytes, operator.packed.segmentBytes);
      return operator;
    },
    targetReadsLogits: true,
    describeLoss: (_, grid) => grid.join("x"),
    membershipTable,
    coefficientBytes,
    countBytes: loss.countBytes,
    planLossTarget(target) {
      const axes = [0, 1, 2].flatMap((axis) => nearestExact(target.labelGrid[axis], target.grid[axis]));
      constants.set(target.axesSlot, Uint32Array.from(axes));
      return loss.planLossTarget({ ...target, limits });
    },
    planLossSums: (sums) => loss.planLossSums({ ...sums, optionsSlot: OPTIONS, limits }),
    planLossGradient: (spec) => loss.planLossGradient({ ...spec, limits }),
    planLossCounts: (spec) => loss.planLossCounts({ ...spec, limits }),
    shares: {
      sumFloats: loss.lossSumFloats,
      planSums: (sums) => loss.planShareSums({ ...sums, optionsSlot: OPTIONS, limits }),
      planTotal: (sums) => loss.planShareTotal({ ...sums, optionsSlot: OPTIONS, limits }),
      planTop: (spec) => ({
        rounds: loss.planShareTop({ ...spec, optionsSlot: OPTIONS, limits }),
        stateBytes: TOP_STATE_BYTES,
        countFloats: TOP_COUNTS,
      }),
      planShareMoments,
      planNormSums: (norm) => planNormSums({ ...norm, limits }),
      planNormApply: (norm) => planNormApply({ ...norm, limits }),
    },
  };
}
