/** The losses of a training step as steps: targets and sums after the forward pass, gradients of the logits before the backward pass. */
import { voxelCount } from "../base/shape.ts";
import type { LossOptions } from "../engine/training.ts";
import { membersOf } from "../engine/training_checks.ts";
import type { BatchShare } from "../graph/batch_share.ts";
import type { TensorId } from "../graph/fuse.ts";
import type { EngineTypes, LossShape, ShareKernels } from "./kernels.ts";
import { rangeOf } from "./lowering.ts";
import { COUNTS, gradientRange, LABELS, RESULTS, type Training } from "./training_context.ts";

/** An output with a loss. */
export interface LossOutput {
  readonly tensor: TensorId;
  /** Its place among the results. */
  readonly index: number;
  /** Of its loss among all. */
  readonly weight: number;
}

/** Constant: which channels every label counts for. */
export const MEMBERSHIP = "membership";

/** The operands of the next step, which is the target's, or one after it. */
function operandsOf<E extends EngineTypes>(
  training: Training<E>,
  { tensor }: LossOutput,
  isTarget: boolean,
): LossShape<E> {
  const { network, batch, schedule: { touch }, kernels: { targetReadsLogits }, options: { loss, share } } = training;
  const { grid } = network.tensors[tensor];
  const shape = {
    batch,
    grid,
    logits: rangeOf(training, tensor, "tensor"),
    membershipSlot: MEMBERSHIP,
    targetSlot: `target:${tensor}`,
    softmaxSlot: `softmax:${tensor}`,
    regions: loss.target.kind === "regions",
    ...(loss.topK && { topK: { ...loss.topK, entropiesSlot: `entropies:${tensor}` } }),
    ...(share && !sharesAlone(loss) && { share }),
  };
  const voxels = batch * voxelCount(grid);
  touch(shape.targetSlot, voxels * 4);
  if (targetReadsLogits && !shape.regions) touch(shape.softmaxSlot, voxels * 8);
  if (shape.topK && (targetReadsLogits || !isTarget)) touch(shape.topK.entropiesSlot, voxels * 4);
  return shape;
}

const coefficientsOf = ({ tensor }: LossOutput) => `coefficients:${tensor}`;

function nameOf<E extends EngineTypes>({ kernels, network }: Training<E>, { tensor }: LossOutput): string {
  const { channels, grid } = network.tensors[tensor];
  return kernels.describeLoss(channels, grid);
}

/** Adds the target at the output's resolution, the loss, and the coefficients of its gradient; of a share its sums alone. */
export function lossSums<E extends EngineTypes>(training: Training<E>, output: LossOutput): void {
  const { batch, schedule: { touch, add }, kernels, options: { loss, patch, share } } = training;
  const target = operandsOf(training, output, true);
  const { channels } = target.logits;
  touch(LABELS);
  add(
    `target ${target.grid.join("x")}`,
    kernels.planLossTarget({
      ...target,
      labelGrid: patch,
      labelSlot: LABELS,
      axesSlot: `axes:${output.tensor}`,
      ...(loss.ignoreLabel !== undefined && { ignoreLabel: loss.ignoreLabel }),
      labels: membersOf(loss, channels).length,
    }),
  );
  const name = `loss ${nameOf(training, output)}`;
  if (share && !sharesAlone(loss)) {
    const { own } = sumSlots(output);
    touch(own, batch * sharesOf(training).sumFloats(channels) * 4);
    const sums = sharesOf(training).planSums({ ...weightedLoss(training, output), sumsSlot: own });
    return add(`${name}, its sums`, sums);
  }
  touch(RESULTS);
  touch(coefficientsOf(output), kernels.coefficientBytes(batch, channels));
  add(name, kernels.planLossSums(weightedLoss(training, output)));
}

function weightedLoss<E extends EngineTypes>(training: Training<E>, output: LossOutput) {
  const { loss, loss: { target: _, topK: __, ignoreLabel, ...weights }, share } = training.options;
  return {
    ...operandsOf(training, output, false),
    ...weights,
    ...(share && sharesAlone(loss) && { of: share.of }),
    ignores: ignoreLabel !== undefined,
    outputWeight: output.weight,
    resultSlot: RESULTS,
    resultIndex: output.index,
    coefficientsSlot: coefficientsOf(output),
  };
}

/** True where a sample's part in the loss does not depend on the others: the loss of a batch is the sum of its shares'. */
function sharesAlone({ batchDice, ignoreLabel }: LossOptions): boolean {
  return !batchDice && ignoreLabel === undefined;
}

/** What a share's samples give, and what all samples of the batch do: f32 [sample][floats]. */
export interface GatheredSums {
  readonly own: string;
  readonly all: string;
  /** Numbers of a sample. */
  readonly floats: number;
}

const sumSlots = ({ tensor }: LossOutput) => ({ own: `own loss sums:${tensor}`, all: `loss sums:${tensor}` });

function sharesOf<E extends EngineTypes>({ kernels: { shares } }: Training<E>): ShareKernels<E> {
  if (!shares) throw new RangeError("Planning a training: this engine computes no share of a batch");
  return shares;
}

/**
 * Adds what follows from the sums of all samples of the batch, before which they are gathered: each output's loss and the coefficients of
 * its gradient. Nothing where shares need not know of each other.
 */
export function lossTotals<E extends EngineTypes>(
  training: Training<E>,
  outputs: readonly LossOutput[],
  { of }: BatchShare,
): GatheredSums[] {
  const { schedule: { touch, add }, kernels, network, options: { loss } } = training;
  if (sharesAlone(loss)) return [];
  const sums = outputs.map((output): GatheredSums => {
    const floats = sharesOf(training).sumFloats(network.tensors[output.tensor].channels);
    return { ...sumSlots(output), floats };
  });
  // They lie beside each other when they are exchanged.
  for (const { own, all, floats } of sums) {
    touch(own);
    touch(all, of * floats * 4);
  }
  outputs.forEach((output, i) => {
    const { all: sumsSlot } = sums[i];
    touch(RESULTS);
    touch(sumsSlot);
    touch(coefficientsOf(output), kernels.coefficientBytes(of, network.tensors[output.tensor].channels));
    const total = sharesOf(training).planTotal({ ...weightedLoss(training, output), sumsSlot });
    add(`loss ${nameOf(training, output)}`, total);
  });
  return sums;
}

/** Adds true and false positives and negatives. @returns how many bytes they are */
export function lossCounts<E extends EngineTypes>(training: Training<E>, output: LossOutput): number {
  const { batch, schedule: { touch, add }, kernels } = training;
  const shape = operandsOf(training, output, false);
  const bytes = kernels.countBytes({ batch, grid: shape.grid, channels: shape.logits.channels });
  touch(COUNTS, bytes);
  add(`counts ${nameOf(training, output)}`, kernels.planLossCounts({ ...shape, countsSlot: COUNTS }));
  return bytes;
}

/** Adds the gradient of the logits. */
export function lossGradient<E extends EngineTypes>(training: Training<E>, output: LossOutput): void {
  const { schedule: { touch, add }, kernels } = training;
  const gradient = gradientRange(training, output.tensor);
  const shape = operandsOf(training, output, false);
  const coefficientsSlot = coefficientsOf(output);
  touch(coefficientsSlot);
  const name = `loss gradient ${nameOf(training, output)}`;
  add(name, kernels.planLossGradient({ ...shape, coefficientsSlot, gradient }));
}
