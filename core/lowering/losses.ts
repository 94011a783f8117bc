/** The losses of a training step as steps: targets and sums after the forward pass, gradients of the logits before the backward pass. */
import { voxelCount } from "../base/shape.ts";
import type { LossOptions } from "../engine/training.ts";
import { membersOf } from "../engine/training_checks.ts";
import type { TensorId } from "../graph/fuse.ts";
import type { EngineTypes, LossShape } from "./kernels.ts";
import { addMeeting, type Gathered, sharesOf } from "./meetings.ts";
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
export function sharesAlone({ batchDice, ignoreLabel, topK }: LossOptions): boolean {
  return !topK && !batchDice && ignoreLabel === undefined;
}

const sumSlots = ({ tensor }: LossOutput) => ({ own: `own loss sums:${tensor}`, all: `loss sums:${tensor}` });

/**
 * Adds what follows from the sums of all samples of the batch, for which shares meet first: each output's loss and the coefficients of its
 * gradient. Nothing where shares need not know of each other.
 */
export function lossTotals<E extends EngineTypes>(training: Training<E>, outputs: readonly LossOutput[]): void {
  const { schedule: { touch, add }, kernels, network, options: { loss, share } } = training;
  if (!share || sharesAlone(loss)) return;
  const tops = loss.topK ? outputs.map((output) => topRounds(training, output)) : [];
  for (const { addRound } of tops) addRound(0);
  const sums = outputs.map((output): Gathered => {
    const floats = sharesOf(training).sumFloats(network.tensors[output.tensor].channels);
    return { ...sumSlots(output), floats };
  });
  addMeeting(training, [...sums, ...tops.map(({ gathered }) => gathered[0])], "both");
  outputs.forEach((output, i) => {
    const { all: sumsSlot } = sums[i];
    touch(RESULTS);
    touch(sumsSlot);
    touch(coefficientsOf(output), kernels.coefficientBytes(share.of, network.tensors[output.tensor].channels));
    const total = sharesOf(training).planTotal({ ...weightedLoss(training, output), sumsSlot });
    add(`loss ${nameOf(training, output)}`, total);
  });
  for (let round = 1; tops.some(({ rounds }) => round < rounds); round++) {
    if (round > 1) addMeeting(training, tops.map(({ gathered }) => gathered[round - 1]), "both");
    for (const { addRound } of tops) addRound(round);
  }
}

/**
 * The largest cross-entropies of all samples, round by round: between two of them shares tell each other how many of the voxels that may
 * be among them each has, and in the end their sum.
 */
function topRounds<E extends EngineTypes>(training: Training<E>, output: LossOutput) {
  const { schedule: { touch, add } } = training;
  const slot = (name: string) => `top ${name}:${output.tensor}`;
  const slots = {
    stateSlot: slot("state"),
    countsSlot: slot("counts"),
    allCountsSlot: slot("counts of all"),
    sumSlot: slot("sum"),
    allSumsSlot: slot("sums of all"),
  };
  const { rounds, stateBytes, countFloats } = sharesOf(training).planTop({
    ...weightedLoss(training, output),
    ...slots,
  });
  const counts: Gathered = { own: slots.countsSlot, all: slots.allCountsSlot, floats: countFloats, isOfShare: true };
  const sum: Gathered = { own: slots.sumSlot, all: slots.allSumsSlot, floats: 1, isOfShare: true };
  const gathered = rounds.slice(1).map((_, i, { length }) => (i < length - 1 ? counts : sum));
  return {
    rounds: rounds.length,
    /** Before round i + 1. */
    gathered,
    addRound(round: number) {
      touch(RESULTS);
      touch(slots.stateSlot, stateBytes);
      for (const { own, all, floats } of gathered.slice(Math.max(0, round - 1), round + 1)) {
        touch(own, floats * 4);
        touch(all, (training.options.share?.of ?? 1) * floats * 4);
      }
      operandsOf(training, output, false);
      add(`largest cross-entropies ${nameOf(training, output)}, round ${round + 1}`, rounds[round]);
    },
  };
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
