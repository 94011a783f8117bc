/** Norms in a training: their tables before a tensor's readers, batch norm's moments, and the way back through them. */
import { padToFour, voxelCount } from "../base/shape.ts";
import type { TensorId, ViewPart } from "../graph/fuse.ts";
import { affineOf, type ForwardRules, tableFromStatistics } from "./forward.ts";
import type { BatchShare } from "../graph/batch_share.ts";
import type { EngineTypes, NormBackward, TensorRange } from "./kernels.ts";
import { addMeeting, sharesOf } from "./meetings.ts";
import type { NormTableRange } from "../graph/problems.ts";
import { describeTensor, describeWriter, rangeOf, statisticsOf } from "./lowering.ts";
import { gradientRange, gradientSlot, parameterSlot, type Training } from "./training_context.ts";

/** Slot of a tensor's norm without weight and bias, where it is a block of its own. */
const unitNormOf = (tensor: TensorId) => `unit norm:${tensor}`;

const momentsOf = (tensor: TensorId) => ({ meanSlot: `mean:${tensor}`, varianceSlot: `variance:${tensor}` });

/** Tables of a training, of the parameters and of what the batch is. */
export function trainedNorms<E extends EngineTypes>(
  training: Training<E>,
): Pick<ForwardRules<E>, "writeTable" | "writeMoments"> {
  return {
    writeTable: (name, part, range) => addTable(training, name, part, range),
    writeMoments: (tensor) => addMoments(training, tensor),
  };
}

/** A batch norm has the running moments in a validation, the batch's in a training step. */
function addTable<E extends EngineTypes>(
  training: Training<E>,
  name: string,
  part: ViewPart,
  range: NormTableRange,
): void {
  const { schedule: { add, touch, steps }, only, kernels } = training;
  if (part.norm?.kind === "batchNorm") {
    const { runningMean, runningVar } = part.norm;
    only.set(steps.length, "validation");
    const running = { meanSlot: parameterSlot(runningMean), varianceSlot: parameterSlot(runningVar) };
    const affine = affineOf(part.norm, parameterSlot);
    add(`${name}, running`, kernels.planNormFromMoments({ ...range, ...affine, ...running }));
    touch(range.normSlot);
    only.set(steps.length, "training");
  }
  add(name, tableWithUnit(training, part, range) ?? tableOf(training, part, range));
}

/** The first table of an instance norm, which leaves the norm without weight and bias for the way back. */
function tableWithUnit<E extends EngineTypes>(
  training: Training<E>,
  { tensor, norm }: ViewPart,
  range: NormTableRange,
): E["operator"] | undefined {
  const { kernels: { planTrainedNorm }, schedule: { touch, usages }, batch, statisticsParts } = training;
  const unitNormSlot = unitNormOf(tensor);
  if (norm?.kind !== "instanceNorm" || !planTrainedNorm || usages.has(unitNormSlot)) return undefined;
  const statisticsSlot = statisticsOf(tensor);
  touch(statisticsSlot);
  touch(unitNormSlot, unitBytes(batch, range.channels));
  const statistics = { parts: statisticsParts.get(tensor) ?? 0, statisticsSlot };
  return planTrainedNorm({ ...range, ...affineOf(norm, parameterSlot), ...statistics, unitNormSlot });
}

const unitBytes = (batch: number, channels: number) => batch * 3 * padToFour(channels) * 4;

/** Entries of a tensor as a training step has them. */
function tableOf<E extends EngineTypes>(
  training: Training<E>,
  { tensor, norm }: ViewPart,
  range: NormTableRange,
): E["operator"] {
  const { kernels, schedule: { touch } } = training;
  if (!norm) return kernels.planNormConstant(range);
  const affine = affineOf(norm, parameterSlot);
  if (norm.kind === "instanceNorm") return tableFromStatistics(training, tensor, { ...range, ...affine });
  const moments = momentsOf(tensor);
  for (const slot of Object.values(moments)) touch(slot);
  return kernels.planNormFromMoments({ ...range, ...affine, ...moments });
}

/** Adds mean and variance of the batch, where a batch norm reads the tensor. */
function addMoments<E extends EngineTypes>(training: Training<E>, tensor: TensorId): void {
  const { network, batch, tables, statisticsParts, schedule: { add, touch, steps }, only, kernels } = training;
  const { share } = training.options;
  const norm = tables.entries.get(tensor)?.[0].part.norm;
  if (norm?.kind !== "batchNorm") return;
  const { channels, grid } = network.tensors[tensor];
  const moments = momentsOf(tensor);
  const statisticsSlot = statisticsOf(tensor);
  touch(statisticsSlot);
  const own = { batch, voxels: voxelCount(grid), channels, parts: statisticsParts.get(tensor) ?? 0, statisticsSlot };
  const whole = share ? shareMoments(training, tensor, own, share) : own;
  for (const slot of Object.values(moments)) touch(slot, padToFour(channels) * 4);
  only.set(steps.length, "training");
  add(
    `batch moments of ${describeWriter(network, tensor)}`,
    kernels.planBatchMoments({
      ...moments,
      ...whole,
      runningMeanSlot: parameterSlot(norm.runningMean),
      runningVarianceSlot: parameterSlot(norm.runningVar),
    }),
  );
}

type BatchStatistics = {
  readonly batch: number;
  readonly voxels: number;
  readonly channels: number;
  readonly parts: number;
  readonly statisticsSlot: string;
};

/** Adds what makes one part of a share's statistics. @returns the parts of all shares, as statistics of the whole batch */
function shareMoments<E extends EngineTypes>(
  training: Training<E>,
  tensor: TensorId,
  own: BatchStatistics,
  { of }: BatchShare,
): BatchStatistics {
  const { network, schedule: { add, touch, steps }, only } = training;
  const [ownSlot, all] = [`own moments:${tensor}`, `moments of all:${tensor}`];
  const floats = 1 + 2 * padToFour(own.channels);
  touch(ownSlot, floats * 4);
  only.set(steps.length, "training");
  const name = `moments of a share of ${describeWriter(network, tensor)}`;
  add(name, sharesOf(training).planShareMoments({ ...own, targetSlot: ownSlot }));
  addMeeting(training, [{ own: ownSlot, all, floats, isOfShare: true }], "training");
  return { ...own, batch: of, parts: 1, statisticsSlot: all };
}

/** Adds, in place: the gradient of what readers saw becomes that of what is stored. */
export function backwardOfView<E extends EngineTypes>(training: Training<E>, { tensor, norm, slope }: ViewPart): void {
  const { network, batch, schedule: { add }, kernels } = training;
  const { grid } = network.tensors[tensor];
  const name = `norm gradient ${describeWriter(network, tensor)} ${describeTensor(network, tensor)}`;
  if (norm) return backwardOfNorm(training, name, tensor, norm);
  const gradient = gradientRange(training, tensor);
  const sign = rangeOf(training, tensor, "tensor");
  const passing = { batch, voxels: voxelCount(grid), source: gradient, target: gradient, sign, slope };
  add(name, kernels.planGradientPass({ ...passing, accumulate: false }));
}

function backwardOfNorm<E extends EngineTypes>(
  training: Training<E>,
  name: string,
  tensor: TensorId,
  norm: NonNullable<ViewPart["norm"]>,
): void {
  const { network, tables, schedule: { add, touch, usages }, kernels, options: { share } } = training;
  const { channels, grid } = network.tensors[tensor];
  // To a batch norm the whole batch is one sample.
  const batch = norm.kind === "batchNorm" ? 1 : training.batch;
  const voxels = voxelCount(grid) * training.batch / batch;
  // A temporary of the step, a block of its own, or made with the tensor's table.
  const unitNormSlot = kernels.joined ? "unit norm" : unitNormOf(tensor);
  const unitNorm = usages.has(unitNormSlot)
    ? undefined
    : unitNormTable(training, { tensor, norm }, unitNormSlot, batch);
  if (unitNorm && !kernels.joined) {
    touch(unitNormSlot, unitBytes(batch, channels));
    add(`unit norm of ${describeWriter(network, tensor)}`, unitNorm);
  }
  if (!kernels.joined) touch(unitNormSlot);
  const [stored, gradient] = [rangeOf(training, tensor, "tensor"), gradientRange(training, tensor)];
  const [{ part: _, ...entry }] = tables.entries.get(tensor) ?? [];
  touch(entry.normSlot);
  const problem = {
    ...entry,
    batch,
    voxels,
    stored,
    gradient,
    unitNormSlot,
    ...(norm.weight !== undefined && { weightGradientSlot: gradientSlot(norm.weight) }),
    ...(norm.bias !== undefined && { biasGradientSlot: gradientSlot(norm.bias) }),
  };
  if (share && norm.kind === "batchNorm") return shareNormBackward(training, name, tensor, problem);
  const backward = kernels.planNormBackward(problem);
  const temporaries = { [unitNormSlot]: unitBytes(batch, channels) };
  add(name, (unitNorm && kernels.joined?.(unitNorm, backward, temporaries)) ?? backward);
}

/** The table of a norm without weight and bias. @param batch 1 where the whole batch is one sample */
function unitNormTable<E extends EngineTypes>(
  training: Training<E>,
  { tensor, norm: { weight: _, bias: __, ...norm } }: { tensor: TensorId; norm: NonNullable<ViewPart["norm"]> },
  normSlot: string,
  batch: number,
): E["operator"] {
  const { channels } = training.network.tensors[tensor];
  const range = { batch, channels, normSlot, channelOffset: 0, totalChannels: padToFour(channels), slope: 1 };
  return tableOf(training, { tensor, norm, slope: 1 }, range);
}

/** In two steps, between which shares tell each other their sums. */
function shareNormBackward<E extends EngineTypes>(
  training: Training<E>,
  name: string,
  tensor: TensorId,
  problem: NormBackward<TensorRange<E>>,
): void {
  const { schedule: { add, touch }, options: { share, batch } } = training;
  const [own, all] = [`own norm sums:${tensor}`, `norm sums of all:${tensor}`];
  const floats = 2 * padToFour(problem.gradient.channels);
  touch(own, floats * 4);
  add(`${name}, its sums`, sharesOf(training).planNormSums({ ...problem, sumsSlot: own }));
  addMeeting(training, [{ own, all, floats, isOfShare: true }], "training");
  for (const slot of [problem.normSlot, problem.unitNormSlot, all]) touch(slot);
  // The next step uses them too.
  rangeOf(training, tensor, "tensor");
  gradientRange(training, tensor);
  const of = share?.of ?? batch;
  add(name, sharesOf(training).planNormApply({ ...problem, sumsSlot: all, rows: of, of: problem.voxels / batch * of }));
}
