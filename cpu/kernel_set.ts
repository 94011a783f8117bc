/** The CPU's kernels as the lowering takes them. */
import { padToFour } from "../core/base/shape.ts";
import type { EngineTypes, Kernels, TensorRange, TrainingKernels } from "../core/lowering/kernels.ts";
import type { ConvOperator, ItemRow } from "../kernels/wasm/conv/problem.ts";
import { coefficientBytes, membershipTable } from "../kernels/operators/training/loss.ts";
import { planConv, planConvWithPacking, planTransposedConv } from "../kernels/wasm/conv/plan_conv.ts";
import { planDataGradient } from "../kernels/wasm/conv/plan_data_gradient.ts";
import { planWeightGradient } from "../kernels/wasm/conv/plan_weight_gradient.ts";
import type { Kernel } from "../kernels/wasm/emit/module_builder.ts";
import { NORM_KERNELS, planNormConstant, planNormFinalize } from "../kernels/wasm/elementwise/norm.ts";
import { planAveragePool, planResidualAdd, RESIDUAL_KERNELS } from "../kernels/wasm/elementwise/residual.ts";
import type { Operand, Operator } from "../kernels/wasm/kernel.ts";
import { BATCH_NORM_KERNELS, planBatchMoments, planNormFromMoments } from "../kernels/wasm/training/batch_norm.ts";
import * as loss from "../kernels/wasm/training/loss.ts";
import { TRAINING_LOSS_KERNELS } from "../kernels/wasm/training/loss_kernels.ts";
import { planNormBackward, TRAINING_NORM_KERNELS } from "../kernels/wasm/training/norm.ts";
import { planGradientPass, planPoolBackward, TRAINING_PASS_KERNELS } from "../kernels/wasm/training/passes.ts";
import { TOP_K_KERNELS } from "../kernels/wasm/training/top_k.ts";

/** An operator that runs in items along z has `rows`, see {@link ConvOperator}. */
export type CpuOperator = Operator & { readonly rows?: readonly ItemRow[] };

export interface CpuTypes extends EngineTypes {
  readonly place: Pick<Operand, "slot" | "channelStride" | "channelOffset" | "second">;
  readonly operator: CpuOperator;
  readonly conv: ConvOperator;
}

/** What prediction runs. */
export const FORWARD_KERNELS: Kernels<CpuTypes> = {
  planConv,
  planTransposedConv,
  planResidualAdd,
  planAveragePool,
  planNormConstant,
  planNormFinalize,
};

/** The module's kernels of these. */
export const ELEMENTWISE_WASM: readonly Kernel[] = [...NORM_KERNELS, ...RESIDUAL_KERNELS];

/** What training runs. */
export const TRAINING_KERNELS: TrainingKernels<CpuTypes> = {
  ...FORWARD_KERNELS,
  planConv: planConvWithPacking,
  planNormFromMoments,
  planBatchMoments,
  planNormBackward,
  planGradientPass,
  planPoolBackward,
  joined: (first, second, temporaries) => ({
    ...second,
    calls: [...first.calls, ...second.calls],
    temporaries: { ...second.temporaries, ...temporaries },
  }),
  planWeightGradient: ({ outputGradient, ...problem }) =>
    planWeightGradient({ ...problem, outputGradient: asOperand(outputGradient) }),
  planDataGradient: ({ outputGradient, packedSlot: _, ...problem }) =>
    planDataGradient({ ...problem, outputGradient: asOperand(outputGradient) }),
  targetReadsLogits: false,
  describeLoss: (channels, grid) => `${channels} ${grid.join("x")}`,
  membershipTable,
  coefficientBytes,
  countBytes: loss.countBytes,
  planLossTarget: ({ logits, ...target }) =>
    loss.planLossTarget({ ...target, paddedChannels: padToFour(logits.channels) }),
  planLossSums: ({ resultIndex, ...sums }) =>
    loss.planLossSums({ ...lossShape(sums), resultOffset: resultIndex * RESULT_BYTES }),
  planLossGradient: ({ gradient, ...spec }) =>
    loss.planLossGradient({ ...lossShape(spec), gradientSlot: gradient.slot }),
  planLossCounts: (spec) => loss.planLossCounts(lossShape(spec)),
};

/** The module's kernels of what training adds. */
export const TRAINING_WASM: readonly Kernel[] = [
  ...TRAINING_NORM_KERNELS,
  ...BATCH_NORM_KERNELS,
  ...TRAINING_PASS_KERNELS,
  ...TRAINING_LOSS_KERNELS,
  ...TOP_K_KERNELS,
];

/** Results of a training step are f64. */
export const RESULT_BYTES = 8;

function asOperand({ channels, ...range }: TensorRange<CpuTypes>): Operand {
  return { ...range, parts: [channels] };
}

/** Logits are alone in their tensor. */
function lossShape<T extends { readonly logits: TensorRange<CpuTypes> }>({ logits, ...spec }: T) {
  return { ...spec, channels: logits.channels, logitsSlot: logits.slot };
}

/** Bytes of packed weights that one core makes in a second. */
const PACKING_RATE = 3.5e9;

/** The operator with its packing calls before its own; the packed weights are a temporary of the step. */
export function packingInEveryRun(operator: ConvOperator, weightSlot: string): ConvOperator {
  return {
    ...operator,
    algorithm: `${operator.algorithm}, packing`,
    calls: [...(operator.packing?.calls ?? []), ...operator.calls],
    temporaries: { ...operator.temporaries, [weightSlot]: operator.weightBytes },
    ...operator.inGroups,
    coreSeconds: operator.coreSeconds + operator.weightBytes / PACKING_RATE,
  };
}
