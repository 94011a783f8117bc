/** Norms in a training: their tables before a tensor's readers, batch norm's moments, and the way back through them. */
import { padToFour, voxelCount } from "../core/base/shape.ts";
import type { TensorId, ViewPart } from "../core/graph/fuse.ts";
import type { InstanceNormNode } from "../core/graph/graph.ts";
import { planNormConstant, planNormFinalize } from "../kernels/wgsl/elementwise/norm.ts";
import type { NormConstant } from "../kernels/operators/elementwise/norm.ts";
import type { WgslOperator } from "../kernels/wgsl/kernel.ts";
import { planBatchMoments, planNormFromMoments } from "../kernels/wgsl/training/batch_norm.ts";
import { planNormBackward } from "../kernels/wgsl/training/norm.ts";
import { planGradientPass } from "../kernels/wgsl/training/passes.ts";
import { describeWriter } from "./program_plan.ts";
import { gradientSlot, parameterSlot } from "./training_parameters.ts";
import { statisticsOf, type TrainingContext, type TrainingTensors } from "./training_tensors.ts";

export interface TrainingNorms {
  /** How many parts a tensor's sums come in, noted by the convolution that writes them. */
  readonly statisticsParts: Map<TensorId, number>;
  /** Steps that only one of both runs: batch norm is another thing to each. */
  readonly only: ReadonlyMap<number, "training" | "validation">;
  /** Plans the norm tables that a tensor has entries in. */
  writeTables(tensor: TensorId): void;
  /** Plans mean and variance of the batch, where a batch norm reads the tensor. */
  writeMoments(tensor: TensorId): void;
  /** Plans, in place: the gradient of what readers saw becomes that of what is stored. */
  backwardOfView(part: ViewPart): void;
}

export function createTrainingNorms(context: TrainingContext, tensors: TrainingTensors): TrainingNorms {
  const { network, batch, limits, tables, schedule: { steps, touch, add } } = context;
  const { storedRange, gradientRange } = tensors;
  const statisticsParts = new Map<TensorId, number>();
  const only = new Map<number, "training" | "validation">();

  /** The norm tables that a tensor has entries in, and how it is seen by their readers. */
  function entriesOf(tensor: TensorId) {
    const { group, channelOffset } = network.tensors[tensor];
    const totalChannels = network.groups[group].channelStride;
    return [...tables.values()].flatMap(({ slot, view }) =>
      view.filter((part) => part.tensor === tensor).map((part) => ({
        ...{ normSlot: slot, part, totalChannels, channelOffset },
      }))
    );
  }

  function writeTables(tensor: TensorId): void {
    const { channels } = network.tensors[tensor];
    for (const { part, ...entry } of entriesOf(tensor)) {
      touch(entry.normSlot, batch * 3 * entry.totalChannels * 4);
      const range = { batch, channels, ...entry, slope: part.slope };
      const name = `norm table of ${describeWriter(network, tensor)}`;
      if (part.norm?.kind !== "batchNorm") {
        add(name, normTable(part, range));
        continue;
      }
      const { runningMean, runningVar } = part.norm;
      only.set(steps.length, "validation");
      const running = { meanSlot: parameterSlot(runningMean), varianceSlot: parameterSlot(runningVar) };
      add(`${name}, running`, planNormFromMoments({ ...range, ...affineOf(part.norm), ...running }));
      touch(entry.normSlot);
      only.set(steps.length, "training");
      add(name, normTable(part, range));
    }
  }

  function writeMoments(tensor: TensorId): void {
    const norm = entriesOf(tensor)[0]?.part.norm;
    if (norm?.kind !== "batchNorm") return;
    const { channels, grid } = network.tensors[tensor];
    const [meanSlot, varianceSlot] = momentsOf(tensor);
    touch(statisticsOf(tensor));
    for (const slot of [meanSlot, varianceSlot]) touch(slot, padToFour(channels) * 4);
    only.set(steps.length, "training");
    add(
      `batch moments of ${describeWriter(network, tensor)}`,
      planBatchMoments({
        ...{ batch, voxels: voxelCount(grid), channels, parts: statisticsParts.get(tensor) ?? 0 },
        ...{ statisticsSlot: statisticsOf(tensor), meanSlot, varianceSlot },
        runningMeanSlot: parameterSlot(norm.runningMean),
        runningVarianceSlot: parameterSlot(norm.runningVar),
      }),
    );
  }

  function affineOf({ eps, weight, bias }: Pick<InstanceNormNode, "eps" | "weight" | "bias">) {
    return {
      eps,
      ...(weight !== undefined && { weightSlot: parameterSlot(weight) }),
      ...(bias !== undefined && { biasSlot: parameterSlot(bias) }),
    };
  }

  function normTable({ tensor, norm }: ViewPart, range: NormConstant): WgslOperator {
    if (!norm) return planNormConstant(range);
    if (norm.kind === "batchNorm") {
      const [meanSlot, varianceSlot] = momentsOf(tensor);
      for (const slot of [meanSlot, varianceSlot]) touch(slot);
      return planNormFromMoments({ ...range, ...affineOf(norm), meanSlot, varianceSlot });
    }
    touch(statisticsOf(tensor));
    return planNormFinalize({
      ...range,
      parts: statisticsParts.get(tensor) ?? 0,
      statisticsSlot: statisticsOf(tensor),
      ...affineOf(norm),
    });
  }

  function backwardOfView(part: ViewPart): void {
    const { tensor, norm, slope } = part;
    const { channels, grid } = network.tensors[tensor];
    const name = `norm gradient ${describeWriter(network, tensor)} ${channels} ${grid.join("x")}`;
    // To a batch norm the whole batch is one sample.
    const samples = norm?.kind === "batchNorm" ? 1 : batch;
    const voxels = voxelCount(grid) * batch / samples;
    const unitNormSlot = `unit norm:${tensor}`;
    if (norm) {
      const padded = padToFour(channels);
      touch(unitNormSlot, samples * 3 * padded * 4);
      const { weight: _weight, bias: _bias, ...plain } = norm;
      const range = {
        ...{ batch: samples, channels, normSlot: unitNormSlot, channelOffset: 0 },
        totalChannels: padded,
        slope: 1,
      };
      add(`unit norm of ${describeWriter(network, tensor)}`, normTable({ tensor, norm: plain, slope: 1 }, range));
    }
    const [stored, gradient] = [storedRange(tensor), gradientRange(tensor)];
    if (!norm) {
      const passing = { batch, voxels, source: gradient, target: gradient, sign: stored, slope, accumulate: false };
      add(name, planGradientPass(passing));
      return;
    }
    const [{ part: _, ...entry }] = entriesOf(tensor);
    touch(entry.normSlot);
    touch(unitNormSlot);
    add(
      name,
      planNormBackward({
        ...{ batch: samples, voxels, stored, gradient, ...entry, unitNormSlot, limits },
        ...(norm.weight !== undefined && { weightGradientSlot: gradientSlot(norm.weight) }),
        ...(norm.bias !== undefined && { biasGradientSlot: gradientSlot(norm.bias) }),
      }),
    );
  }

  return { statisticsParts, only, writeTables, writeMoments, backwardOfView };
}

const momentsOf = (tensor: TensorId) => [`mean:${tensor}`, `variance:${tensor}`] as const;
