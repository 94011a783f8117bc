/** Norms in a training: their tables before a tensor's readers, batch norm's moments, and the way back through them. */
import { padToFour, voxelCount } from "../base/shape.ts";
import type { TensorId, ViewPart } from "../graph/fuse.ts";
import { affineOf, type ForwardRules, tableFromStatistics } from "./forward.ts";
import type { EngineTypes } from "./kernels.ts";
import type { NormTableRange } from "../graph/problems.ts";
import { describeTensor, describeWriter, rangeOf, statisticsOf } from "./lowering.ts";
import { gradientRange, gradientSlot, parameterSlot, type Training } from "./training_context.ts";

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
  add(name, tableOf(training, part, range));
}

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
  const norm = tables.entries.get(tensor)?.[0].part.norm;
  if (norm?.kind !== "batchNorm") return;
  const { channels, grid } = network.tensors[tensor];
  const moments = momentsOf(tensor);
  const statisticsSlot = statisticsOf(tensor);
  touch(statisticsSlot);
  for (const slot of Object.values(moments)) touch(slot, padToFour(channels) * 4);
  only.set(steps.length, "training");
  add(
    `batch moments of ${describeWriter(network, tensor)}`,
    kernels.planBatchMoments({
      ...moments,
      batch,
      voxels: voxelCount(grid),
      channels,
      parts: statisticsParts.get(tensor) ?? 0,
      statisticsSlot,
      runningMeanSlot: parameterSlot(norm.runningMean),
      runningVarianceSlot: parameterSlot(norm.runningVar),
    }),
  );
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
  const { network, tables, schedule: { add, touch }, kernels } = training;
  const { channels, grid } = network.tensors[tensor];
  // To a batch norm the whole batch is one sample.
  const batch = norm.kind === "batchNorm" ? 1 : training.batch;
  const voxels = voxelCount(grid) * training.batch / batch;
  // A temporary of the step, or a block of its own.
  const unitNormSlot = kernels.joined ? "unit norm" : `unit norm:${tensor}`;
  const totalChannels = padToFour(channels);
  const unitBytes = batch * 3 * totalChannels * 4;
  const { weight, bias, ...plain } = norm;
  const unitRange = { batch, channels, normSlot: unitNormSlot, channelOffset: 0, totalChannels, slope: 1 };
  const unitNorm = tableOf(training, { tensor, norm: plain, slope: 1 }, unitRange);
  if (!kernels.joined) {
    touch(unitNormSlot, unitBytes);
    add(`unit norm of ${describeWriter(network, tensor)}`, unitNorm);
    touch(unitNormSlot);
  }
  const [stored, gradient] = [rangeOf(training, tensor, "tensor"), gradientRange(training, tensor)];
  const [{ part: _, ...entry }] = tables.entries.get(tensor) ?? [];
  touch(entry.normSlot);
  const backward = kernels.planNormBackward({
    ...entry,
    batch,
    voxels,
    stored,
    gradient,
    unitNormSlot,
    ...(weight !== undefined && { weightGradientSlot: gradientSlot(weight) }),
    ...(bias !== undefined && { biasGradientSlot: gradientSlot(bias) }),
  });
  add(name, kernels.joined?.(unitNorm, backward, { [unitNormSlot]: unitBytes }) ?? backward);
}
