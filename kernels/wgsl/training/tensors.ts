/** Tensors and gradients as the kernels of training see them: channel ranges whose voxels are counted over the batch. */
import { padToFour } from "../../../core/base/shape.ts";
import { activationView, type ArrayView, touchedSegments } from "../emit/views.ts";
import type { Walk } from "../emit/ranges.ts";
import type { WgslTarget } from "../kernel.ts";

/** A channel range of a stored tensor or gradient. */
export type TensorRange = Omit<WgslTarget, "statisticsSlot">;

/** vec4 of a voxel. */
export const blocksOf = ({ channels }: Pick<TensorRange, "channels">) => padToFour(channels) / 4;

type Place = Pick<TensorRange, "layout" | "channelStride" | "channelOffset">;

/** Voxels [first, last] of a tensor as a dispatch sees them. */
export function voxelView(
  name: string,
  tensor: Place,
  access: ArrayView["access"],
  [first, last]: readonly [number, number],
): ArrayView {
  const { layout, channelStride } = tensor;
  const range = [first * channelStride / 4, (last + 1) * channelStride / 4 - 1] as const;
  return activationView(name, layout, access, touchedSegments(layout, [range]));
}

/** A tensor that threads walk, `blocks` of them a voxel. */
export function voxelWalk(tensor: Place, blocks: number): Walk {
  const { layout, channelStride, channelOffset } = tensor;
  return {
    layout,
    elementOf: (thread) => Math.floor(thread / blocks) * channelStride / 4 + channelOffset / 4 + thread % blocks,
  };
}

/** Bytes of an element of an activation. */
export const elementBytes = ({ layout }: Place) => layout.type === "f16" ? 8 : 16;
