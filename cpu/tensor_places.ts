/** Where the tensors of a fused network lie on this engine, and when they are read for the last time. */
import { type FusedNetwork, type TensorId, viewsOf } from "../core/graph/fuse.ts";

/** A tensor as operands and targets name it. */
export interface TensorPlace {
  readonly slot: string;
  /** Distance of two voxels in floats, and the first channel. */
  readonly channelStride: number;
  readonly channelOffset: number;
  /** No other tensor lies in the slot. */
  readonly isAlone: boolean;
}

/**
 * Concatenations of two tensors that only convolutions read stay apart, since convolutions take two sources: the halves can then live
 * and die each for itself. All others lie channel range beside channel range, as the fused network has them.
 */
export function placeTensors({ tensors, groups, steps }: FusedNetwork): TensorPlace[] {
  const apart = groups.map(({ members }) =>
    members.length === 2 &&
    steps.every((step) =>
      viewsOf(step).every((view) => view.length < 2 || !members.includes(view[0].tensor) || isConv(step))
    )
  );
  return tensors.map(({ group, channelOffset }, id): TensorPlace => {
    const { members, channelStride } = groups[group];
    if (!apart[group]) return { slot: `tensor:${group}`, channelStride, channelOffset, isAlone: members.length === 1 };
    const isFirst = members[0] === id;
    const cut = tensors[members[1]].channelOffset;
    return {
      slot: `tensor:${group}:${isFirst ? 0 : 1}`,
      channelStride: isFirst ? cut : channelStride - cut,
      channelOffset: 0,
      isAlone: true,
    };
  });
}

function isConv({ kind }: { readonly kind: string }): boolean {
  return kind === "conv" || kind === "transposedConv";
}

/** Index of the last step that reads each tensor, -1 for one that none reads. */
export function lastReaders({ tensors, steps }: FusedNetwork): number[] {
  const last = tensors.map((): number => -1);
  steps.forEach((step, index) => {
    for (const view of viewsOf(step)) for (const { tensor } of view) last[tensor] = index;
  });
  return last;
}

/** What is read beside the result of transposed convolution `index` by the next step, if that is a convolution and its only reader. */
export function readsUpsampled(
  { steps }: FusedNetwork,
  index: number,
): TensorId | undefined {
  const [up, next] = [steps[index], steps[index + 1]];
  if (up?.kind !== "transposedConv" || next?.kind !== "conv" || next.input.length !== 2) return undefined;
  const isUpsampled = (view: { readonly tensor: TensorId }) => view.tensor === up.output;
  const readers = steps.filter((step) => viewsOf(step).some((view) => view.some(isUpsampled)));
  const part = next.input.find(isUpsampled);
  const other = next.input.find((view) => !isUpsampled(view));
  if (!part || !other || readers.length > 1 || part.norm?.kind === "instanceNorm") return undefined;
  return other.tensor;
}
