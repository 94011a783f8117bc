/**
 * Sums of overlapping patches in a ring of open planes: adding a patch's logits weighted by importance, and dividing by the summed
 * weights once no further patch touches a plane.
 */
import { padToFour, permute, type Vec3, voxelCount } from "../../core/base/shape.ts";
import { distance, walk } from "./elementwise_simd.ts";
import { type Expr, f32, f32x4, i32, i64, v128 } from "./emit/expression.ts";
import type { Kernel } from "./emit/module_builder.ts";
import type { Operator } from "./kernel.ts";
import { listParams, type ParamTypes } from "./params.ts";
import type { Placement } from "./volume_gather.ts";

/**
 * Shape of a ring of logits: element of plane s, row u, column v, channel c is
 * (((s mod planes) * rows + u) * columns + v) * padToFour(channels) + c; the weight sums have one element a voxel in the same order.
 */
export interface RingGeometry {
  readonly channels: number;
  readonly planes: number;
  readonly rows: number;
  readonly columns: number;
  /** Volume axes that planes, rows and columns run along. */
  readonly axes: Vec3;
  /** Planes of the whole volume. */
  readonly depth: number;
}

export interface Accumulate {
  readonly ring: RingGeometry;
  readonly logitsSlot: string;
  readonly weightSumsSlot: string;
  /** f32 [sample][z][y][x][padded channels]. */
  readonly outputSlot: string;
  readonly sample: number;
  readonly patch: Vec3;
  readonly placement: Placement;
  /** f32 (z, y, x) of the patch. */
  readonly importanceSlot: string;
  readonly scale: number;
  readonly addWeight: boolean;
}

export interface FinishPlanes {
  readonly ring: RingGeometry;
  readonly logitsSlot: string;
  readonly weightSumsSlot: string;
  /** Planes [from, to) of the volume. */
  readonly from: number;
  readonly to: number;
  readonly folds: number;
}

export const ACCUMULATE_FIELDS = {
  logits: "address",
  weightSums: "address",
  /** The output voxel and the importance that go to (firstPlane, firstRow, firstColumn). */
  output: "address",
  importance: "address",
  padded: "i32",
  ringPlanes: "i32",
  ringRows: "i32",
  ringColumns: "i32",
  firstPlane: "i32",
  firstRow: "i32",
  firstColumn: "i32",
  rows: "i32",
  columns: "i32",
  /** In voxels, along the ring's axes; negative where the output is flipped. */
  outputPlaneStep: "i32",
  outputRowStep: "i32",
  outputColumnStep: "i32",
  importancePlaneStep: "i32",
  importanceRowStep: "i32",
  importanceColumnStep: "i32",
  rowsPerItem: "i32",
  itemsPerPlane: "i32",
  addWeight: "i32",
  scale: "f32",
} as const satisfies ParamTypes;

export const FINISH_FIELDS = {
  logits: "address",
  weightSums: "address",
  padded: "i32",
  ringPlanes: "i32",
  rows: "i32",
  columns: "i32",
  from: "i32",
  rowsPerItem: "i32",
  itemsPerPlane: "i32",
  folds: "f32",
} as const satisfies ParamTypes;

const ITEM_BYTES = 64 * 1024;

/**
 * ring += flip(output) * (importance * scale) where the patch lies inside the volume, and weightSums += importance if asked.
 * One item: some rows of one plane.
 */
export function planAccumulate(spec: Accumulate): Operator {
  const { ring, patch, placement } = spec;
  const padded = padToFour(ring.channels);
  const origin = permute<number>(placement.origin, ring.axes);
  const size = permute<number>(patch, ring.axes);
  const mirror = permute<boolean>(placement.mirror, ring.axes);
  const step = permute<number>([patch[1] * patch[2], patch[2], 1], ring.axes);
  const limits = [ring.depth, ring.rows, ring.columns];
  const first = origin.map((o) => Math.max(0, o));
  const count = origin.map((o, i) => Math.max(0, Math.min(limits[i], o + size[i]) - first[i]));
  const inPatch = first.map((f, i) => f - origin[i]);
  const dot = (positions: number[]) => positions.reduce((sum, p, i) => sum + p * step[i], 0);
  const outputStart = dot(inPatch.map((p, i) => mirror[i] ? size[i] - 1 - p : p));
  const rowsPerItem = rowsOfItem(count[1], count[2], padded);
  const itemsPerPlane = Math.ceil(count[1] / rowsPerItem);
  const items = count[0] * count[1] * count[2] === 0 ? 0 : count[0] * itemsPerPlane;
  const voxels = count[0] * count[1] * count[2];
  const bytes = voxels * (padded * 12 + (spec.addWeight ? 12 : 4));
  const params = listParams(ACCUMULATE_FIELDS, {
    logits: { slot: spec.logitsSlot },
    weightSums: { slot: spec.weightSumsSlot },
    output: { slot: spec.outputSlot, offset: (spec.sample * voxelCount(patch) + outputStart) * padded * 4 },
    importance: { slot: spec.importanceSlot, offset: dot(inPatch) * 4 },
    padded,
    ringPlanes: ring.planes,
    ringRows: ring.rows,
    ringColumns: ring.columns,
    firstPlane: first[0],
    firstRow: first[1],
    firstColumn: first[2],
    rows: count[1],
    columns: count[2],
    outputPlaneStep: mirror[0] ? -step[0] : step[0],
    outputRowStep: mirror[1] ? -step[1] : step[1],
    outputColumnStep: mirror[2] ? -step[2] : step[2],
    importancePlaneStep: step[0],
    importanceRowStep: step[1],
    importanceColumnStep: step[2],
    rowsPerItem,
    itemsPerPlane,
    addWeight: spec.addWeight ? 1 : 0,
    scale: spec.scale,
  });
  return {
    algorithm: "accumulate",
    calls: items === 0 ? [] : [{ kernel: "accumulate_patch", params, items, scratchBytes: 0 }],
    temporaries: {},
    flops: voxels * padded * 2,
    bytes,
    coreSeconds: bytes / 12e9,
  };
}

/** logits *= 1 / (weightSums * folds) for planes [from, to), in place. One item: some rows of one plane. */
export function planFinishPlanes(spec: FinishPlanes): Operator {
  const { ring } = spec;
  const padded = padToFour(ring.channels);
  const rowsPerItem = rowsOfItem(ring.rows, ring.columns, padded);
  const itemsPerPlane = Math.ceil(ring.rows / rowsPerItem);
  const voxels = (spec.to - spec.from) * ring.rows * ring.columns;
  const bytes = voxels * (padded * 8 + 4);
  const params = listParams(FINISH_FIELDS, {
    logits: { slot: spec.logitsSlot },
    weightSums: { slot: spec.weightSumsSlot },
    padded,
    ringPlanes: ring.planes,
    rows: ring.rows,
    columns: ring.columns,
    from: spec.from,
    rowsPerItem,
    itemsPerPlane,
    folds: spec.folds,
  });
  const items = (spec.to - spec.from) * itemsPerPlane;
  return {
    algorithm: "finish planes",
    calls: items === 0 ? [] : [{ kernel: "finish_planes", params, items, scratchBytes: 0 }],
    temporaries: {},
    flops: voxels * padded,
    bytes,
    coreSeconds: bytes / 12e9,
  };
}

function rowsOfItem(rows: number, columns: number, padded: number): number {
  return Math.min(Math.max(1, rows), Math.max(1, Math.ceil(ITEM_BYTES / Math.max(1, columns * padded * 4))));
}

const accumulateKernel: Kernel = {
  name: "accumulate_patch",
  emit: (m) =>
    m.kernel("accumulate_patch", (f, params, item) => {
      const p = f.readParams(params, ACCUMULATE_FIELDS);
      const voxelBytes = f.local("i64", distance(p.padded, 4));
      const plane = f.local("i32", i32.divU(item, p.itemsPerPlane));
      const first = f.local("i32", i32.mul(i32.remU(item, p.itemsPerPlane), p.rowsPerItem));
      const end = f.local("i32", i32.min(f.local("i32", i32.add(first, p.rowsPerItem)), p.rows));
      const ringPlane = i32.remU(i32.add(p.firstPlane, plane), p.ringPlanes);
      const planeRow = f.local("i32", i32.add(i32.mul(ringPlane, p.ringRows), p.firstRow));
      // The source pointer stands behind a voxel after its channels: the rest of the way to the next one.
      const sourceStep = f.local("i64", distance(i32.sub(p.outputColumnStep, 1), voxelBytes));
      const importanceStep = f.local("i64", distance(p.importanceColumnStep, 4));
      const to = f.local("i64");
      const voxelEnd = f.local("i64");
      const from = f.local("i64");
      const sums = f.local("i64");
      const importance = f.local("i64");
      const weight = f.local("v128");
      f.for(first, end, 1, (row) => {
        const rowStart = distance(i32.add(planeRow, row), i64.extendS(p.ringColumns));
        const voxel = f.local("i64", i64.add(rowStart, i64.extendS(p.firstColumn)));
        f.set(to, i64.add(p.logits, i64.mul(voxel, voxelBytes)));
        f.set(sums, i64.add(p.weightSums, i64.shl(voxel, 2)));
        const steps = (planeStep: Expr<"i32">, rowStep: Expr<"i32">) =>
          i64.add(distance(plane, i64.extendS(planeStep)), distance(row, i64.extendS(rowStep)));
        f.set(from, i64.add(p.output, i64.mul(steps(p.outputPlaneStep, p.outputRowStep), voxelBytes)));
        f.set(importance, i64.add(p.importance, i64.shl(steps(p.importancePlaneStep, p.importanceRowStep), 2)));
        f.countdown(p.columns, () => {
          f.if(p.addWeight, () => f.storeF32(sums, f32.add(f32.load(sums), f32.load(importance))));
          f.set(weight, f32x4.splat(f32.mul(f32.load(importance), p.scale)));
          f.set(voxelEnd, i64.add(to, voxelBytes));
          walk(f, to, voxelEnd, 16, () => {
            f.storeV128(to, f32x4.add(v128.load(to), f32x4.mul(v128.load(from), weight)));
            f.add(from, 16);
          });
          f.add(from, sourceStep);
          f.add(importance, importanceStep);
          f.add(sums, 4);
        });
      });
    }),
};

const finishKernel: Kernel = {
  name: "finish_planes",
  emit: (m) =>
    m.kernel("finish_planes", (f, params, item) => {
      const p = f.readParams(params, FINISH_FIELDS);
      const voxelBytes = f.local("i64", distance(p.padded, 4));
      const plane = i32.add(p.from, i32.divU(item, p.itemsPerPlane));
      const first = f.local("i32", i32.mul(i32.remU(item, p.itemsPerPlane), p.rowsPerItem));
      const left = f.local("i32", i32.sub(p.rows, first));
      const count = f.local("i32", i32.mul(i32.min(left, p.rowsPerItem), p.columns));
      const row = i32.add(i32.mul(i32.remU(plane, p.ringPlanes), p.rows), first);
      const voxel = f.local("i64", distance(row, i64.extendS(p.columns)));
      const to = f.local("i64", i64.add(p.logits, i64.mul(voxel, voxelBytes)));
      const sums = f.local("i64", i64.add(p.weightSums, i64.shl(voxel, 2)));
      const voxelEnd = f.local("i64");
      const factor = f.local("v128");
      f.countdown(count, () => {
        f.set(factor, f32x4.splat(f32.div(1, f32.mul(f32.load(sums), p.folds))));
        f.set(voxelEnd, i64.add(to, voxelBytes));
        walk(f, to, voxelEnd, 16, () => f.storeV128(to, f32x4.mul(v128.load(to), factor)));
        f.add(sums, 4);
      });
    }),
};

export const ACCUMULATE_KERNELS: readonly Kernel[] = [accumulateKernel, finishKernel];
