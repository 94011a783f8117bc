/** Rotation and scaling of a loaded patch in three dimensions: trilinear image, labels by vote. What lies outside is 0. */
import type { Vec3 } from "../../base/shape.ts";
import { narrowRange, type RowGeometry } from "./spatial_rows.ts";
import { type Cell, createCell, nearestIndex, vote } from "./spatial_vote.ts";

/** Resamples `channels` channels of size `loaded` to `patch`. */
export function resampleImage(
  source: Float32Array,
  channels: number,
  loaded: Vec3,
  target: Float32Array,
  patch: Vec3,
  rows: RowGeometry,
): void {
  const start = new Float64Array(3);
  const range = new Int32Array(2);
  const [size0, size1, size2] = loaded;
  const [depth, height, width] = patch;
  for (let z = 0; z < depth; z++) {
    for (let y = 0; y < height; y++) {
      rows.startOf(z, y, start);
      cellsInside(range, start, rows.step, loaded, width);
      for (let c = 0; c < channels; c++) {
        const from = c * size0 * size1 * size2;
        const to = ((c * depth + z) * height + y) * width;
        imageRowInside(source, from, size1, size2, target, to, start, rows.step, range[0], range[1]);
        imageRowAnywhere(source, from, loaded, target, to, start, rows.step, 0, range[0]);
        imageRowAnywhere(source, from, loaded, target, to, start, rows.step, range[1], width);
      }
    }
  }
}

/** Voxels of a row whose cells lie inside. */
function cellsInside(range: Int32Array, start: Float64Array, step: Vec3, loaded: Vec3, width: number): void {
  range[0] = 0;
  range[1] = width;
  for (let axis = 0; axis < 3; axis++) narrowRange(range, start[axis], step[axis], loaded[axis] - 1);
}

function imageRowInside(
  source: Float32Array,
  from: number,
  size1: number,
  size2: number,
  target: Float32Array,
  to: number,
  start: Float64Array,
  step: Vec3,
  low: number,
  high: number,
): void {
  const [z0, y0, x0] = start;
  const [dz, dy, dx] = step;
  const plane = Math.imul(size1, size2);
  for (let i = low; i < high; i++) {
    const pz = z0 + i * dz;
    const py = y0 + i * dy;
    const px = x0 + i * dx;
    const z = pz | 0;
    const y = py | 0;
    const x = px | 0;
    const fz = pz - z;
    const fy = py - y;
    const fx = px - x;
    const a = (from + Math.imul(z, plane) + Math.imul(y, size2) + x) | 0;
    const b = (a + size2) | 0;
    const c = (a + plane) | 0;
    const d = (b + plane) | 0;
    const va = source[a] + fx * (source[a + 1] - source[a]);
    const vb = source[b] + fx * (source[b + 1] - source[b]);
    const vc = source[c] + fx * (source[c + 1] - source[c]);
    const vd = source[d] + fx * (source[d + 1] - source[d]);
    const near = va + fy * (vb - va);
    const far = vc + fy * (vd - vc);
    target[to + i] = near + fz * (far - near);
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
    const pz = start[0] + i * step[0];
    const py = start[1] + i * step[1];
    const px = start[2] + i * step[2];
    let sum = 0;
    if (pz > -1 && py > -1 && px > -1 && pz < loaded[0] && py < loaded[1] && px < loaded[2]) {
      for (let corner = 0; corner < 8; corner++) {
        const at = cornerIndex(corner, pz, py, px, loaded);
        if (at >= 0) sum += cornerWeight(corner, pz, py, px) * source[from + at];
      }
    }
    target[to + i] = sum;
  }
}

/** Index of a corner of the cell at a position; -1 outside. Bits of `corner`: 4 z, 2 y, 1 x. */
function cornerIndex(corner: number, pz: number, py: number, px: number, loaded: Vec3): number {
  const z = Math.floor(pz) + (corner >> 2);
  const y = Math.floor(py) + ((corner >> 1) & 1);
  const x = Math.floor(px) + (corner & 1);
  if (z < 0 || y < 0 || x < 0 || z >= loaded[0] || y >= loaded[1] || x >= loaded[2]) return -1;
  return (z * loaded[1] + y) * loaded[2] + x;
}

function cornerWeight(corner: number, pz: number, py: number, px: number): number {
  const fz = pz - Math.floor(pz);
  const fy = py - Math.floor(py);
  const fx = px - Math.floor(px);
  return (corner & 4 ? fz : 1 - fz) * (corner & 2 ? fy : 1 - fy) * (corner & 1 ? fx : 1 - fx);
}

/** Resamples a label map of size `loaded` to `patch`. @param byNearest True: the nearest voxel's label, without a vote. */
export function resampleLabels(
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
  const [depth, height, width] = patch;
  for (let z = 0; z < depth; z++) {
    for (let y = 0; y < height; y++) {
      rows.startOf(z, y, start);
      if (!byNearest) cellsInside(range, start, rows.step, loaded, width);
      const to = (z * height + y) * width;
      labelRowInside(source, loaded, target, to, start, rows.step, range[0], range[1], cell, mixed);
      labelRowAnywhere(source, loaded, target, to, start, rows.step, 0, range[0], cell, byNearest);
      labelRowAnywhere(source, loaded, target, to, start, rows.step, range[1], width, cell, byNearest);
    }
  }
}

/** Most cells have one label. The others are noted in `mixed`, for the loop to have no call, and voted on behind it. */
function labelRowInside(
  source: Int16Array,
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
  const [z0, y0, x0] = start;
  const [dz, dy, dx] = step;
  const width = loaded[2];
  const plane = Math.imul(loaded[1], width);
  let count = 0;
  for (let i = low; i < high; i++) {
    const pz = z0 + i * dz;
    const py = y0 + i * dy;
    const px = x0 + i * dx;
    const a = (Math.imul(pz | 0, plane) + Math.imul(py | 0, width) + (px | 0)) | 0;
    const b = (a + width) | 0;
    const c = (a + plane) | 0;
    const d = (b + plane) | 0;
    const label = source[a];
    const differing = (label ^ source[a + 1]) | (label ^ source[b]) | (label ^ source[b + 1]) | (label ^ source[c]) |
      (label ^ source[c + 1]) | (label ^ source[d]) | (label ^ source[d + 1]);
    target[to + i] = label;
    mixed[count] = i;
    count += differing === 0 ? 0 : 1;
  }
  for (let k = 0; k < count; k++) {
    const i = mixed[k];
    target[to + i] = voteAt(source, loaded, z0 + i * dz, y0 + i * dy, x0 + i * dx, cell);
  }
}

function labelRowAnywhere(
  source: Int16Array,
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
    const pz = start[0] + i * step[0];
    const py = start[1] + i * step[1];
    const px = start[2] + i * step[2];
    target[to + i] = byNearest ? nearestLabel(source, loaded, pz, py, px) : voteAt(source, loaded, pz, py, px, cell);
  }
}

function nearestLabel(source: Int16Array, loaded: Vec3, pz: number, py: number, px: number): number {
  const at = cornerIndex(0, nearestIndex(pz), nearestIndex(py), nearestIndex(px), loaded);
  return at < 0 ? 0 : source[at];
}

/** The vote of the eight corners of the cell at a position; corners outside are label 0. */
function voteAt(source: Int16Array, loaded: Vec3, pz: number, py: number, px: number, cell: Cell): number {
  for (let corner = 0; corner < 8; corner++) {
    const at = cornerIndex(corner, pz, py, px, loaded);
    cell.labels[corner] = at < 0 ? 0 : source[at];
    cell.weights[corner] = cornerWeight(corner, pz, py, px);
  }
  return vote(cell, 8, nearestLabel(source, loaded, pz, py, px));
}
