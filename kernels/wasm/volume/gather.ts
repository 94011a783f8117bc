/** Cutting patches out of volumes on the CPU. */
import type { GatherOf } from "../../operators/volume/gather.ts";
import { padToFour, voxelCount } from "../../../core/base/shape.ts";
import { distance } from "../elementwise/simd.ts";
import { f32, i32, i64 } from "../emit/expression.ts";
import { type Kernel, kernelOf } from "../emit/module_builder.ts";
import type { Operator, Param } from "../kernel.ts";
import { listParams, paramOffsets, type ParamTypes } from "../params.ts";

export interface Gather extends GatherOf<{ readonly slot: string }> {
  readonly volumeSlot: string;
  /** Patch i becomes sample i. */
  readonly inputSlot: string;
}

const GATHER_FIELDS = {
  volume: "address",
  labels: "address",
  input: "address",
  channels: "i32",
  oneHot: "i32",
  padded: "i32",
  grid: "axes",
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
} as const satisfies ParamTypes;

const ITEM_VOXELS = 4096;

/** One item: some rows of a sample. */
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
    const fields = listParams(GATHER_FIELDS, {
      volume: { slot: spec.volumeSlot },
      labels: { slot: spec.labelMap?.slot ?? spec.volumeSlot },
      input: { slot: spec.inputSlot, offset: sample * voxels * padded * 4 },
      channels: spec.channels,
      oneHot: values.length,
      padded,
      grid: spec.grid,
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

/** The one-hot values follow the fields. */
const ONE_HOT_OFFSET = paramOffsets(GATHER_FIELDS).rowsPerItem + 4;

const gatherKernel = kernelOf("gather_patch", GATHER_FIELDS, (f, p, item, _scratch, params) => {
  const voxelBytes = f.local("i64", distance(p.padded, 4));
  const rowBytes = f.local("i64", distance(p.patchX, voxelBytes));
  const step = f.local("i64", distance(p.stepX, voxelBytes));
  const first = f.local("i32", i32.mul(item, p.rowsPerItem));
  const end = f.local("i32", i32.min(f.local("i32", i32.add(first, p.rowsPerItem)), p.rows));
  const to = f.local("i64");
  const from = f.local("i64");
  const value = f.local("i32");
  f.for(first, end, 1, (row) => {
    const target = f.local("i64", i64.add(p.input, distance(row, rowBytes)));
    f.zeroBytes(target, rowBytes);
    const z = f.local("i32", i32.add(p.startZ, i32.mul(p.stepZ, i32.divU(row, p.patchY))));
    const y = f.local("i32", i32.add(p.startY, i32.mul(p.stepY, i32.remU(row, p.patchY))));
    const inside = i32.and(i32.ltU(z, p.gridZ), i32.ltU(y, p.gridY));
    f.if(i32.and(inside, i32.gtS(p.countX, 0)), () => {
      f.set(target, i64.add(target, distance(p.columnX, voxelBytes)));
      f.for(0, p.channels, 1, (channel) => {
        const plane = i32.add(i32.mul(channel, p.gridZ), z);
        const rowIndex = i64.add(distance(plane, i64.extendS(p.gridY)), i64.extendS(y));
        const voxel = i64.add(i64.mul(rowIndex, i64.extendS(p.gridX)), i64.extendS(p.firstX));
        f.set(from, i64.add(p.volume, i64.shl(voxel, 2)));
        f.set(to, i64.add(target, distance(channel, 4)));
        f.countdown(p.countX, () => {
          f.storeF32(to, f32.load(from));
          f.add(from, 4);
          f.add(to, step);
        });
      });
      f.for(0, p.oneHot, 1, (k) => {
        f.set(value, i32.load(i64.add(params, distance(k, 4)), ONE_HOT_OFFSET));
        const rowIndex = i64.add(distance(z, i64.extendS(p.gridY)), i64.extendS(y));
        const voxel = i64.add(i64.mul(rowIndex, i64.extendS(p.gridX)), i64.extendS(p.firstX));
        f.set(from, i64.add(p.labels, i64.shl(voxel, 1)));
        f.set(to, i64.add(target, distance(i32.add(p.channels, k), 4)));
        f.countdown(p.countX, () => {
          f.storeF32(to, f32.convertI32S(i32.eq(i32.load16s(from), value)));
          f.add(from, 2);
          f.add(to, step);
        });
      });
    });
  });
});

export const GATHER_KERNELS: readonly Kernel[] = [gatherKernel];
