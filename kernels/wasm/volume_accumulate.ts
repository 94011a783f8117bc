/**
 * Sums of overlapping patches in a ring of open planes: adding a patch's logits weighted by importance, and dividing by the summed
 * weights once no further patch touches a plane.
 */
import { padToFour, permute, type Vec3, voxelCount } from "../../core/base/shape.ts";
import { encodeFields, type FieldType } from "./elementwise_params.ts";
import type { Operator } from "./kernel.ts";
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
} as const satisfies Record<string, FieldType>;

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
} as const satisfies Record<string, FieldType>;

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
  const params = encodeFields("accumulate_patch", ACCUMULATE_FIELDS, {
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
  const params = encodeFields("finish_planes", FINISH_FIELDS, {
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
