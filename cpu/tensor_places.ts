/** Where the tensors of a fused network lie on this engine, and when they are read for the last time. */
import { type Vec3, voxelCount } from "../core/base/shape.ts";
import { type FusedNetwork, type TensorId, type View, viewsOf } from "../core/graph/fuse.ts";
import type { Storage, StoredAt } from "../core/lowering/lowering.ts";
import type { CpuTypes } from "./kernel_set.ts";

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

/** Tensors where {@link placeTensors} puts them; operands of two sources among them. */
export function storageOf(
  { tensors }: FusedNetwork,
  places: readonly TensorPlace[],
  batch: number,
): Storage<CpuTypes> {
  const placeOf = ({ slot, channelStride, channelOffset }: TensorPlace) => ({ slot, channelStride, channelOffset });
  return {
    at: (tensor) => storedAt(placeOf(places[tensor]), tensors[tensor].grid, batch),
    viewPlace(view: View) {
      const first = placeOf(places[view[0].tensor]);
      const firstPart = view.findIndex(({ tensor }) => places[tensor].slot !== first.slot);
      if (firstPart < 0) return first;
      return { ...first, second: { ...placeOf(places[view[firstPart].tensor]), firstPart } };
    },
  };
}

/** Tensors of a training: channel range beside channel range, as the fused network has them. */
export function groupStorage({ tensors, groups }: FusedNetwork, batch: number): Storage<CpuTypes> {
  return {
    at(tensor, role) {
      const { group, channelOffset, grid } = tensors[tensor];
      const { channelStride } = groups[group];
      return storedAt({ slot: `${role}:${group}`, channelStride, channelOffset }, grid, batch);
    },
  };
}

function storedAt(place: CpuTypes["place"], grid: Vec3, batch: number): StoredAt<CpuTypes> {
  return { place, slot: place.slot, bytes: batch * voxelCount(grid) * place.channelStride * 4 };
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
