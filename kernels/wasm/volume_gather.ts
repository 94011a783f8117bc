/** Cutting patches out of volumes: the image's channels, and one-hot channels of a label map, as a network's input. */
import { padToFour, type Vec3, voxelCount } from "../../core/base/shape.ts";
import { encodeFields, type FieldType } from "./elementwise_params.ts";
import type { Operator, Param } from "./kernel.ts";

/** Where a patch lies in a volume, and which axes of it are flipped. */
export interface Placement {
  readonly origin: Vec3;
  readonly mirror: readonly [boolean, boolean, boolean];
}

export interface Gather {
  /** f32 (channels, z, y, x). */
  readonly volumeSlot: string;
  readonly channels: number;
  readonly grid: Vec3;
  /** i16 (z, y, x); one 0/1 channel for each value of `oneHot` follows the image's channels. */
  readonly labelMap?: { readonly slot: string; readonly oneHot: readonly number[] };
  /** Patch i becomes sample i. */
  readonly patches: readonly Placement[];
  /** Grid of a sample. */
  readonly patch: Vec3;
  /** f32 [sample][z][y][x][padded channels]. */
  readonly inputSlot: string;
}

export const GATHER_FIELDS = {
  volume: "address",
  labels: "address",
  input: "address",
  channels: "i32",
  oneHot: "i32",
  padded: "i32",
  gridZ: "i32",
  gridY: "i32",
  gridX: "i32",
  patchY: "i32",
  patchX: "i32",
  /** Volume coordinate of row (z, y) of the sample = start + step * z, and so on: the mirror is in the signs. */
  startZ: "i32",
  startY: "i32",
  stepZ: "i32",
  stepY: "i32",
  /** Columns of the sample that lie in the volume, in volume order: [first, first + count) of the volume. */
  firstX: "i32",
  countX: "i32",
  /** Sample column of `firstX`, and the direction from there. */
  columnX: "i32",
  stepX: "i32",
  rows: "i32",
  rowsPerItem: "i32",
} as const satisfies Record<string, FieldType>;

const ITEM_VOXELS = 4096;

/** Copies patches, flipped where asked; voxels outside the volume and padding lanes become 0. One item: some rows of a sample. */
export function planGatherPatches(spec: Gather): Operator {
  const values = spec.labelMap?.oneHot ?? [];
  const padded = padToFour(spec.channels + values.length);
  const voxels = voxelCount(spec.patch);
  const rows = spec.patch[0] * spec.patch[1];
  const rowsPerItem = Math.max(1, Math.ceil(ITEM_VOXELS / spec.patch[2]));
  const calls = spec.patches.map(({ origin, mirror }, sample) => {
    const firstX = Math.max(0, origin[2]);
    const countX = Math.max(0, Math.min(spec.grid[2], origin[2] + spec.patch[2]) - firstX);
    const column = firstX - origin[2];
    const start = (axis: 0 | 1) => origin[axis] + (mirror[axis] ? spec.patch[axis] - 1 : 0);
    const fields = encodeFields("gather_patch", GATHER_FIELDS, {
      volume: { slot: spec.volumeSlot },
      labels: { slot: spec.labelMap?.slot ?? spec.volumeSlot },
      input: { slot: spec.inputSlot, offset: sample * voxels * padded * 4 },
      channels: spec.channels,
      oneHot: values.length,
      padded,
      gridZ: spec.grid[0],
      gridY: spec.grid[1],
      gridX: spec.grid[2],
      patchY: spec.patch[1],
      patchX: spec.patch[2],
      startZ: start(0),
      startY: start(1),
      stepZ: mirror[0] ? -1 : 1,
      stepY: mirror[1] ? -1 : 1,
      firstX,
      countX,
      columnX: mirror[2] ? spec.patch[2] - 1 - column : column,
      stepX: mirror[2] ? -1 : 1,
      rows,
      rowsPerItem,
    });
    const oneHot = values.map((value): Param => ({ type: "i32", value }));
    return {
      kernel: "gather_patch",
      params: [...fields, ...oneHot],
      items: Math.ceil(rows / rowsPerItem),
      scratchBytes: 0,
    };
  });
  const bytes = spec.patches.length * voxels * 4 * (spec.channels + padded);
  return { algorithm: "gather", calls, temporaries: {}, flops: 0, bytes, coreSeconds: bytes / 4e9 };
}
