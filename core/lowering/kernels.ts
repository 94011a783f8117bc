/**
 * What an engine's kernels are to the lowering: functions from a problem to an operator. Places of tensors and operators are the engine's
 * own types; everything else about a problem is the same for every engine, and is documented with the problems in kernels/operators.
 */
import type { Vec3 } from "../base/shape.ts";
import type { BatchShare } from "../graph/batch_share.ts";
import type { GradientProblem, NormTableRange } from "../graph/problems.ts";
import type { LossTerms, TopKOptions } from "../graph/loss.ts";

/** Something a step runs; `temporaries` are blocks that exist for the step alone, bytes by name. */
export interface LoweredOperator {
  readonly temporaries: Readonly<Record<string, number>>;
}

/** The types of an engine. */
export interface EngineTypes {
  /** How kernels name a tensor: its slot, the distance of two voxels, its first channel. */
  readonly place: { readonly channelStride: number; readonly channelOffset: number };
  readonly operator: LoweredOperator;
  /** A convolution, which has weights and may leave statistics. */
  readonly conv: LoweredOperator & { readonly statistics?: { readonly parts: number; readonly bytes: number } };
}

/** Channels of each concatenated part, seen through a norm table. */
export type Operand<E extends EngineTypes> = E["place"] & {
  readonly parts: readonly number[];
  readonly normSlot?: string;
};

/** A channel range as it is stored. */
export type TensorRange<E extends EngineTypes> = E["place"] & { readonly channels: number };

/** A channel range that is written, with statistics for a norm that follows. */
export type Target<E extends EngineTypes> = TensorRange<E> & { readonly statisticsSlot?: string };

type Plan<E extends EngineTypes, Problem> = (problem: Readonly<Problem>) => E["operator"];
type Volumes = { batch: number; voxels: number };
type Grids = { batch: number; grid: Vec3 };

/** Of a norm; absent: weight 1, bias 0. */
export interface Affine {
  readonly eps: number;
  readonly weightSlot?: string;
  readonly biasSlot?: string;
}

type Statistics = { parts: number; statisticsSlot: string };
type Moments = { meanSlot: string; varianceSlot: string };

/** A convolution or, without a kernel, a transposed one. */
export interface ConvProblem<E extends EngineTypes> {
  /** "encoder.stages.0.0.convs.0.conv". */
  readonly name: string;
  /** Name of the step that it becomes. */
  readonly step: string;
  readonly batch: number;
  readonly inputGrid: Vec3;
  readonly stride: Vec3;
  readonly input: Operand<E>;
  readonly output: Target<E>;
  readonly outputChannels: number;
  readonly weightSlot: string;
  readonly statistics: boolean;
}

/** What a forward pass is made of. */
export interface Kernels<E extends EngineTypes> {
  readonly planConv: (problem: ConvProblem<E> & { readonly kernel: Vec3 }) => E["conv"];
  readonly planTransposedConv: (problem: ConvProblem<E>) => E["conv"];
  readonly planResidualAdd: Plan<E, Grids & { a: Operand<E>; b: Operand<E>; target: Target<E>; slope: number }>;
  /** `grid` is the input's. */
  readonly planAveragePool: Plan<E, Grids & { stride: Vec3; input: Operand<E>; target: Target<E> }>;
  /** A norm known beforehand, or none. */
  readonly planNormConstant: Plan<E, NormTableRange & { scaleSlot?: string; shiftSlot?: string }>;
  readonly planNormFinalize: Plan<E, NormTableRange & Affine & Statistics>;
}

/** An output with a loss; slots that an engine's kernels do not use are never made. */
export interface LossShape<E extends EngineTypes> {
  readonly batch: number;
  readonly grid: Vec3;
  readonly logits: TensorRange<E>;
  readonly targetSlot: string;
  readonly softmaxSlot: string;
  readonly membershipSlot: string;
  readonly regions: boolean;
  readonly topK?: TopKOptions & { readonly entropiesSlot: string };
  readonly share?: BatchShare;
}

type Labels = { labelGrid: Vec3; labelSlot: string; axesSlot: string; ignoreLabel?: number; labels: number };
/** `of`: samples of the whole batch, where others than these have their loss elsewhere. */
type LossWeights = Omit<LossTerms, "topK"> & { batchDice: boolean; of?: number };
type LossResult = { resultSlot: string; resultIndex: number; outputWeight: number; ignores: boolean };
type Coefficients = { coefficientsSlot: string };

/** What the losses of a training are made of. */
export interface LossKernels<E extends EngineTypes> {
  /** True: the target's kernel notes softmax and cross-entropy of every voxel. */
  readonly targetReadsLogits: boolean;
  /** Shape of an output in the names of its loss's steps. */
  readonly describeLoss: (channels: number, grid: Vec3) => string;
  readonly membershipTable: (members: readonly (readonly number[])[], channels: number) => Float32Array<ArrayBuffer>;
  readonly coefficientBytes: (batch: number, channels: number) => number;
  readonly countBytes: (shape: Readonly<Grids & { channels: number }>) => number;
  readonly planLossTarget: Plan<E, LossShape<E> & Labels>;
  readonly planLossSums: Plan<E, LossShape<E> & LossWeights & LossResult & Coefficients>;
  readonly planLossGradient: Plan<E, LossShape<E> & Coefficients & { gradient: TensorRange<E> }>;
  readonly planLossCounts: Plan<E, LossShape<E> & { countsSlot: string }>;
  /** What an engine needs to compute a share of a batch; absent: it can't. */
  readonly shares?: ShareKernels<E>;
}

/** {@link LossKernels.planLossSums} in two: the sums of a share's samples, and what follows from those of all samples. */
export interface ShareKernels<E extends EngineTypes> {
  /** Sums of a sample. */
  readonly sumFloats: (channels: number) => number;
  readonly planSums: Plan<E, LossShape<E> & LossWeights & LossResult & Coefficients & { sumsSlot: string }>;
  readonly planTotal: Plan<E, LossShape<E> & LossWeights & LossResult & Coefficients & { sumsSlot: string }>;
  /** TopK: what shares do in turn; what is left in `countsSlot`, of the last but one in `sumSlot`, has come from all before the next one. */
  readonly planTop: (problem: Readonly<LossShape<E> & LossWeights & LossResult & Coefficients & TopSlots>) => {
    readonly rounds: readonly E["operator"][];
    readonly stateBytes: number;
    readonly countFloats: number;
  };
  /** Batch norm: one part of the statistics of a share. */
  readonly planShareMoments: Plan<E, Volumes & Statistics & { channels: number; targetSlot: string }>;
  /** {@link TrainingKernels.planNormBackward} of a share in two: its sums with the parameters' gradients, and what follows from all sums. */
  readonly planNormSums: Plan<E, NormBackward<TensorRange<E>> & { sumsSlot: string }>;
  /** `rows` of sums, which are of `of` voxels. */
  readonly planNormApply: Plan<E, NormBackward<TensorRange<E>> & { sumsSlot: string; rows: number; of: number }>;
}

type TopSlots = { stateSlot: string; countsSlot: string; allCountsSlot: string; sumSlot: string; allSumsSlot: string };

export type NormBackward<Range> =
  & Pick<NormTableRange, "batch" | "normSlot" | "channelOffset" | "totalChannels">
  & { voxels: number; stored: Range; gradient: Range }
  & { unitNormSlot: string; weightGradientSlot?: string; biasGradientSlot?: string };
type RunningMoments = { runningMeanSlot: string; runningVarianceSlot: string };
type GradientPass<Range> = { source: Range; target: Range; sign?: Range; slope: number; accumulate: boolean };
type PoolBackward<Range> = { stride: Vec3; outputGradient: Range; inputGradient: Range; accumulate: boolean };
type WeightGradient = { weightGradientSlot: string; biasGradientSlot?: string };
/** `packedSlot` is for weights packed anew. */
type DataGradient<Place> = {
  inputGradient: Place & { parts: readonly number[] };
  weightSlot: string;
  packedSlot: string;
  accumulate: boolean;
};

/** What a training step is made of, besides the optimizer. */
export interface TrainingKernels<E extends EngineTypes> extends Kernels<E>, LossKernels<E> {
  readonly planNormFromMoments: Plan<E, NormTableRange & Affine & Moments>;
  /** {@link Kernels.planNormFinalize} that leaves the norm without weight and bias too; absent: that is made where it is needed. */
  readonly planTrainedNorm?: Plan<E, NormTableRange & Affine & Statistics & { unitNormSlot: string }>;
  readonly planBatchMoments: Plan<E, Volumes & Statistics & Moments & RunningMoments & { channels: number }>;
  readonly planNormBackward: Plan<E, NormBackward<TensorRange<E>>>;
  /** The first operator and the second in one step; absent: they are two. */
  readonly joined?: (first: E["operator"], second: E["operator"], temporaries: Record<string, number>) => E["operator"];
  readonly planGradientPass: Plan<E, Volumes & GradientPass<TensorRange<E>>>;
  readonly planPoolBackward: Plan<E, Grids & PoolBackward<TensorRange<E>>>;
  readonly planWeightGradient: Plan<
    E,
    GradientProblem & WeightGradient & { input: Operand<E>; outputGradient: TensorRange<E> }
  >;
  readonly planDataGradient: Plan<
    E,
    GradientProblem & DataGradient<E["place"]> & { outputGradient: TensorRange<E> }
  >;
}
