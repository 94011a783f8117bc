/** How tensors lie on the device: what is stored in 16 bits, and what spans several bindings. */
import { type Vec3, voxelCount } from "../core/base/shape.ts";
import type { Precision } from "../core/engine/engine.ts";
import type { FusedNetwork } from "../core/graph/fuse.ts";
import type { Storage } from "../core/lowering/lowering.ts";
import type { SlotLayout } from "../kernels/wgsl/kernel.ts";
import { roundUp } from "./buffers.ts";
import type { GpuTypes } from "./kernel_set.ts";

/** Of a lane of an activation. */
const BYTES = { f32: 4, f16: 2 } as const;

/** Groups of tensors, channel range beside channel range. Networks read and leave f32: images and logits are no activations. */
export function createStorage(
  { tensors, groups, outputs }: FusedNetwork,
  batch: number,
  precision: Precision,
  bindingBytes: number,
): Storage<GpuTypes> {
  const ends = [0, ...outputs].map((tensor) => tensors[tensor].group);
  const typeOf = (group: number) => ends.includes(group) ? "f32" : precision;
  return {
    at(tensor, role) {
      const { group, channelOffset } = tensors[tensor];
      const { channelStride } = groups[group];
      const layout = tensorLayout(`${role}:${group}`, batch, groups[group], typeOf(group), bindingBytes);
      const elementBytes = 4 * BYTES[layout.type];
      return {
        place: { layout, channelStride, channelOffset },
        slot: layout.slot,
        bytes: layout.length * elementBytes,
        segmentBytes: layout.segmentLength * elementBytes,
      };
    },
  };
}

/** A tensor in as few segments as the limit allows, all of about one size, cut between planes, else rows, else voxels. */
export function tensorLayout(
  slot: string,
  batch: number,
  { channelStride, grid }: { readonly channelStride: number; readonly grid: Vec3 },
  type: SlotLayout["type"],
  bindingBytes: number,
): SlotLayout {
  const voxel = channelStride / 4;
  const length = batch * voxelCount(grid) * voxel;
  const most = Math.floor(bindingBytes / (4 * BYTES[type]));
  if (length <= most) return { slot, length, type, segments: 1, segmentLength: length };
  const grain = [grid[1] * grid[2] * voxel, grid[2] * voxel, voxel].find((elements) => elements <= most);
  if (grain === undefined) {
    throw new RangeError(`Planning ${slot}: ${channelStride} channels of a voxel exceed a binding of ${bindingBytes}`);
  }
  const pieces = Math.ceil(length / (Math.floor(most / grain) * grain));
  const segmentLength = roundUp(length / pieces, grain);
  return { slot, length, type, segments: Math.ceil(length / segmentLength), segmentLength };
}
