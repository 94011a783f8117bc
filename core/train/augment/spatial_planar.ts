/** Rotation and scaling of a loaded patch slice by slice: bilinear image, labels by vote. What lies outside a slice is 0. */
import type { Vec3 } from "../../base/shape.ts";
import { narrowRange, type RowGeometry } from "./spatial_rows.ts";
import { type Cell, createCell, nearestIndex, vote } from "./spatial_vote.ts";

/** Resamples slices (height, width) to those of `patch`; as many as `slices`, which counts those of all channels. */
export function resampleImageSlices(
  source: Float32Array,
  slices: number,
  loaded: Vec3,
  target: Float32Array,
  patch: Vec3,
  rows: RowGeometry,
): void {
  const start = new Float64Array(3);
  const range = new Int32Array(2);
  const [, height, width] = patch;
  for (let y = 0; y < height; y++) {
    rows.startOf(0, y, start);
    cellsInside(range, start, rows.step, loaded, width);
    for (let slice = 0; slice < slices; slice++) {
      const from = slice * loaded[1] * loaded[2];
      const to = (slice * height + y) * width;
      imageRowInside(source, from, loaded[2], target, to, start, rows.step, range[0], range[1]);
      imageRowAnywhere(source, from, loaded, target, to, start, rows.step, 0, range[0]);
      imageRowAnywhere(source, from, loaded, target, to, start, rows.step, range[1], width);
    }
  }
}

/** Voxels of a row whose cells lie inside. */
function cellsInside(range: Int32Array, start: Float64Array, step: Vec3, loaded: Vec3, width: number): void {
  range[0] = 0;
  range[1] = width;
  for (let axis = 1; axis < 3; axis++) narrowRange(range, start[axis], step[axis], loaded[axis] - 1);
}

function imageRowInside(
  source: Float32Array,
  from: number,
  size2: number,
  target: Float32Array,
  to: number,
  start: Float64Array,
  step: Vec3,
  low: number,
  high: number,
): void {
  const [, y0, x0] = start;
  const [, dy, dx] = step;
  for (let i = low; i < high; i++) {
    const py = y0 + i * dy;
    const px = x0 + i * dx;
    const y = py | 0;
    const x = px | 0;
    const fx = px - x;
    const a = (from + Math.imul(y, size2) + x) | 0;
    const b = (a + size2) | 0;
    const va = source[a] + fx * (source[a + 1] - source[a]);
    const vb = source[b] + fx * (source[b + 1] - source[b]);
    target[to + i] = va + (py - y) * (vb - va);
  }
}

/** The same where cells may lie partly or wholly outside. */
function imageRowAnywhere(
  source: Float32Array,
  from: number,
  loaded: Vec3,
  target: Float32Array,
  to: number,
  start: Float64Array,
  step: Vec3,
  low: number,
  high: number,
): void {
  for (let i = low; i < high; i++) {
    const py = start[1] + i * step[1];
    const px = start[2] + i * step[2];
    let sum = 0;
    if (py > -1 && px > -1 && py < loaded[1] && px < loaded[2]) {
      for (let corner = 0; corner < 4; corner++) {
        const at = cornerIndex(corner, py, px, loaded);
        if (at >= 0) sum += cornerWeight(corner, py, px) * source[from + at];
      }
    }
    target[to + i] = sum;
  }
}

/** Index in the slice of a corner of the cell at a position; -1 outside. Bits of `corner`: 2 y, 1 x. */
function cornerIndex(corner: number, py: number, px: number, loaded: Vec3): number {
  const y = Math.floor(py) + (corner >> 1);
  const x = Math.floor(px) + (corner & 1);
  return y < 0 || x < 0 || y >= loaded[1] || x >= loaded[2] ? -1 : y * loaded[2] + x;
}

function cornerWeight(corner: number, py: number, px: number): number {
  const fy = py - Math.floor(py);
  const fx = px - Math.floor(px);
  return (corner & 2 ? fy : 1 - fy) * (corner & 1 ? fx : 1 - fx);
}

/** Resamples a label map slice by slice. @param byNearest True: the nearest voxel's label, without a vote. */
export function resampleLabelSlices(
  source: Int16Array,
  loaded: Vec3,
  target: Int16Array,
  patch: Vec3,
  rows: RowGeometry,
  byNearest: boolean,
): void {
  const start = new Float64Array(3);
  const range = new Int32Array(2);
  const cell = createCell();
  const mixed = new Int32Array(patch[2]);
  const [slices, height, width] = patch;
  for (let y = 0; y < height; y++) {
    rows.startOf(0, y, start);
    if (!byNearest) cellsInside(range, start, rows.step, loaded, width);
    for (let slice = 0; slice < slices; slice++) {
      const from = slice * loaded[1] * loaded[2];
      const to = (slice * height + y) * width;
      labelRowInside(source, from, loaded, target, to, start, rows.step, range[0], range[1], cell, mixed);
      labelRowAnywhere(source, from, loaded, target, to, start, rows.step, 0, range[0], cell, byNearest);
      labelRowAnywhere(source, from, loaded, target, to, start, rows.step, range[1], width, cell, byNearest);
    }
  }
}

/** Most cells have one label. The others are noted in `mixed`, for the loop to have no call, and voted on behind it. */
function labelRowInside(
  source: Int16Array,
  from: number,
  loaded: Vec3,
  target: Int16Array,
  to: number,
  start: Float64Array,
  step: Vec3,
  low: number,
  high: number,
  cell: Cell,
  mixed: Int32Array,
): void {
  const [, y0, x0] = start;
  const [, dy, dx] = step;
  const width = loaded[2];
  let count = 0;
  for (let i = low; i < high; i++) {
    const py = y0 + i * dy;
    const px = x0 + i * dx;
    const a = (from + Math.imul(py | 0, width) + (px | 0)) | 0;
    const b = (a + width) | 0;
    const label = source[a];
    const differing = (label ^ source[a + 1]) | (label ^ source[b]) | (label ^ source[b + 1]);
    target[to + i] = label;
    mixed[count] = i;
    count += differing === 0 ? 0 : 1;
  }
  for (let k = 0; k < count; k++) {
    const i = mixed[k];
    target[to + i] = voteAt(source, from, loaded, y0 + i * dy, x0 + i * dx, cell);
  }
}

function labelRowAnywhere(
  source: Int16Array,
  from: number,
  loaded: Vec3,
  target: Int16Array,
  to: number,
  start: Float64Array,
  step: Vec3,
  low: number,
  high: number,
  cell: Cell,
  byNearest: boolean,
): void {
  for (let i = low; i < high; i++) {
    const py = start[1] + i * step[1];
    const px = start[2] + i * step[2];
    target[to + i] = byNearest
      ? nearestLabel(source, from, loaded, py, px)
      : voteAt(source, from, loaded, py, px, cell);
  }
}

function nearestLabel(source: Int16Array, from: number, loaded: Vec3, py: number, px: number): number {
  const at = cornerIndex(0, nearestIndex(py), nearestIndex(px), loaded);
  return at < 0 ? 0 : source[from + at];
}

/** The vote of the four corners of the cell at a position; corners outside are label 0. */
function voteAt(source: Int16Array, from: number, loaded: Vec3, py: number, px: number, cell: Cell): number {
  for (let corner = 0; corner < 4; corner++) {
    const at = cornerIndex(corner, py, px, loaded);
    cell.labels[corner] = at < 0 ? 0 : source[from + at];
    cell.weights[corner] = cornerWeight(corner, py, px);
  }
  return vote(cell, 4, nearestLabel(source, from, loaded, py, px));
}
