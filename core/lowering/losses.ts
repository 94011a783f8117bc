/** The losses of a training step as steps: targets and sums after the forward pass, gradients of the logits before the backward pass. */
import { voxelCount } from "../base/shape.ts";
import { membersOf } from "../engine/training_checks.ts";
import type { TensorId } from "../graph/fuse.ts";
import type { EngineTypes, LossShape } from "./kernels.ts";
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
  const { network, batch, schedule: { touch }, kernels: { targetReadsLogits }, options: { loss } } = training;
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

/** Adds the target at the output's resolution, the loss, and the coefficients of its gradient. */
export function lossSums<E extends EngineTypes>(training: Training<E>, output: LossOutput): void {
  const { batch, schedule: { touch, add }, kernels, options: { loss, patch } } = training;
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
  const shape = operandsOf(training, output, false);
  const coefficientsSlot = coefficientsOf(output);
  touch(RESULTS);
  touch(coefficientsSlot, kernels.coefficientBytes(batch, channels));
  const { target: _, topK: __, ignoreLabel, ...weights } = loss;
  add(
    `loss ${nameOf(training, output)}`,
    kernels.planLossSums({
      ...shape,
      ...weights,
      ignores: ignoreLabel !== undefined,
      outputWeight: output.weight,
      resultSlot: RESULTS,
      resultIndex: output.index,
      coefficientsSlot,
    }),
  );
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
