/**
 * Resampling of the network's output as three 1-D tables (linear, nearest or identity along each axis), which is what lets it be
 * fused with the argmax. Orders above 1 have no such form: they need the whole volume, one class at a time.
 */
import type { Vec3 } from "../base/shape.ts";
import type { AxisTable } from "../engine/volume.ts";
import type { Resampling } from "../plan/plans.ts";
import { refuseGridChange, separateZAxis } from "./separate_z.ts";

/** Tables along (z, y, x), or why there are none; then `resampleImage` has to be used for each class. */
export type ProbabilityTables =
  | { readonly kind: "tables"; readonly tables: readonly [AxisTable, AxisTable, AxisTable] }
  | { readonly kind: "wholeVolume"; readonly reason: string };

/**
 * Tables that take the network's grid `from` to the cropped grid `to`. `currentSpacing` is the configuration's (2-D: with the case's
 * own slice distance first), `newSpacing` the case's, both transposed; they decide whether one axis is resampled by itself.
 */
export function probabilityTables(
  resampling: Resampling,
  from: Vec3,
  to: Vec3,
  currentSpacing: Vec3,
  newSpacing: Vec3,
): ProbabilityTables {
  if (resampling.kind === "none") {
    refuseGridChange(from, to);
    return { kind: "tables", tables: [identityTable(from[0]), identityTable(from[1]), identityTable(from[2])] };
  }
  const separate = separateZAxis(resampling, currentSpacing, newSpacing);
  if (resampling.kind === "torch") {
    const table = (axis: 0 | 1 | 2) =>
      axis === separate ? nearestExactTable(from[axis], to[axis]) : torchLinearTable(from[axis], to[axis]);
    return { kind: "tables", tables: [table(0), table(1), table(2)] };
  }
  const needed = Math.max(resampling.order, separate === null ? 0 : resampling.orderZ);
  const changes = from.some((size, axis) => size !== to[axis]);
  if (changes && needed > 1) {
    return { kind: "wholeVolume", reason: `the plans resample probabilities with order ${needed}` };
  }
  const table = (axis: 0 | 1 | 2) => {
    const order = axis === separate ? resampling.orderZ : resampling.order;
    return order === 0 ? nearestTable(from[axis], to[axis]) : linearTable(from[axis], to[axis]);
  };
  return { kind: "tables", tables: [table(0), table(1), table(2)] };
}

/** out[j] = in[j]. */
export function identityTable(size: number): AxisTable {
  const first = Int32Array.from({ length: size }, (_, j) => j);
  return { first, second: first.slice(), fraction: new Float32Array(size) };
}

/** Linear with pixel centres, (j + 0.5) * from / to - 0.5, clamped to the grid: skimage's resize of order 1. */
export function linearTable(from: number, to: number): AxisTable {
  const table = emptyTable(to);
  const scale = from / to;
  for (let j = 0; j < to; j++) {
    const x = Math.min(Math.max((j + 0.5) * scale - 0.5, 0), from - 1);
    setEntry(table, j, Math.floor(x), x - Math.floor(x), from);
  }
  return table;
}

/** Nearest with pixel centres, floor((j + 0.5) * from / to - 0.5 + 0.5): order 0 of skimage and scipy's map_coordinates. */
export function nearestTable(from: number, to: number): AxisTable {
  const table = emptyTable(to);
  const scale = from / to;
  for (let j = 0; j < to; j++) {
    const x = Math.min(Math.max((j + 0.5) * scale - 0.5, 0), from - 1);
    setEntry(table, j, Math.floor(x + 0.5), 0, from);
  }
  return table;
}

/** torch's interpolate(mode linear, align_corners False): the positions are computed in f32. */
export function torchLinearTable(from: number, to: number): AxisTable {
  if (from === to) return identityTable(from);
  const table = emptyTable(to);
  const scale = Math.fround(from / to);
  for (let j = 0; j < to; j++) {
    const x = Math.max(0, Math.fround(scale * (j + 0.5) - 0.5)); // one rounding: torch's kernels use fused multiply-add
    const first = Math.min(Math.floor(x), from - 1);
    setEntry(table, j, first, Math.min(Math.max(Math.fround(x - first), 0), 1), from);
  }
  return table;
}

/** torch's interpolate(mode nearest-exact): floor((j + 0.5) * from / to), the positions in f32. */
export function nearestExactTable(from: number, to: number): AxisTable {
  if (from === to) return identityTable(from);
  const table = emptyTable(to);
  const scale = Math.fround(from / to);
  for (let j = 0; j < to; j++) {
    setEntry(table, j, Math.floor(Math.fround(Math.fround(j + 0.5) * scale)), 0, from);
  }
  return table;
}

function emptyTable(size: number): AxisTable {
  return { first: new Int32Array(size), second: new Int32Array(size), fraction: new Float32Array(size) };
}

function setEntry(table: AxisTable, j: number, first: number, fraction: number, size: number): void {
  table.first[j] = Math.min(first, size - 1);
  table.second[j] = Math.min(first + 1, size - 1);
  table.fraction[j] = fraction;
}
