/**
 * The spatial transform of recipe "da5": the image by cubic splines (or the nearest voxel), labels by vote. What lies outside the loaded
 * patch is 0 in the image and -1 in the labels; there is no interpolation across its border.
 * Source: augment_spatial of batchgenerators/augmentations/spatial_transformations.py and interpolate_img of utils.py (0.25.5), which
 * call scipy.ndimage.map_coordinates with mode "constant".
 */
import { type Vec3, voxelCount } from "../../base/shape.ts";
import { narrowRange, type RowGeometry } from "./spatial_rows.ts";
import { type Cell, createCell, vote } from "./spatial_vote.ts";
import { splinePrefilter, type StridedVolume } from "./spline_prefilter.ts";

/** Coefficients beside the volume that the outermost positions read: one before it, two behind. */
const BORDER = 3;
/** Voxels around those that are read, so far that what is left out has no effect: pole^14 is 1e-8. */
const MARGIN = 14;

/** Elements of the coefficients of a loaded patch. */
export function coefficientCount([depth, height, width]: Vec3, planar: boolean): number {
  return (planar ? 1 : depth + BORDER) * (height + BORDER) * (width + BORDER);
}

/** What is read of a loaded patch: from `low` on, `size` voxels. */
interface ReadBox {
  readonly low: Vec3;
  readonly size: Vec3;
}

/** Resamples `channels` channels of size `loaded` to `patch` by cubic splines. @param coefficients coefficientCount of them */
export function resampleBySpline(
  source: Float32Array,
  channels: number,
  loaded: Vec3,
  target: Float32Array,
  patch: Vec3,
  rows: RowGeometry,
  planar: boolean,
  coefficients: Float32Array,
): void {
  const box = readBox(rows, patch, loaded, planar);
  if (box === undefined) {
    target.fill(0, 0, channels * voxelCount(patch));
    return;
  }
  const slices = planar ? patch[0] : 1;
  for (let c = 0; c < channels; c++) {
    for (let slice = 0; slice < slices; slice++) {
      const volume = loadCoefficients(source, c, slice, loaded, box, planar, coefficients);
      const depth = planar ? 1 : patch[0];
      const to = (c * patch[0] + slice) * patch[1] * patch[2];
      evaluate(volume, box, loaded, target, to, [depth, patch[1], patch[2]], rows, planar);
    }
  }
}

/** The box around all positions inside the loaded patch; undefined: none is. */
function readBox(rows: RowGeometry, patch: Vec3, loaded: Vec3, planar: boolean): ReadBox | undefined {
  const start = new Float64Array(3);
  const low = [Infinity, Infinity, Infinity];
  const high = [-Infinity, -Infinity, -Infinity];
  for (let corner = 0; corner < 8; corner++) {
    rows.startOf(corner & 4 ? patch[0] - 1 : 0, corner & 2 ? patch[1] - 1 : 0, start);
    for (let axis = 0; axis < 3; axis++) {
      const position = start[axis] + (corner & 1 ? (patch[2] - 1) * rows.step[axis] : 0);
      low[axis] = Math.min(low[axis], position);
      high[axis] = Math.max(high[axis], position);
    }
  }
  const first = low.map((position) => Math.max(0, Math.floor(position) - MARGIN));
  const last = high.map((position, axis) => Math.min(loaded[axis] - 1, Math.ceil(position) + MARGIN));
  const size = last.map((index, axis) => index - first[axis] + 1);
  if (size.some((count) => count < 1)) return undefined;
  return planar
    ? { low: [0, first[1], first[2]], size: [1, size[1], size[2]] }
    : { low: [first[0], first[1], first[2]], size: [size[0], size[1], size[2]] };
}

/** The coefficients of a box of a channel (planar: of a slice of it), with what is beyond its faces mirrored. */
function loadCoefficients(
  source: Float32Array,
  channel: number,
  slice: number,
  loaded: Vec3,
  { low, size }: ReadBox,
  planar: boolean,
  data: Float32Array,
): StridedVolume {
  const [depth, height, width] = size;
  const row = width + BORDER;
  const plane = planar ? 0 : row * (height + BORDER);
  const offset = plane + row + 1;
  // Of an axis of one voxel there is nothing to filter, and its weights add up to 6.
  const factor = [planar ? 2 : depth, height, width].reduce((product, n) => n === 1 ? product / 6 : product, 1);
  for (let z = 0; z < depth; z++) {
    for (let y = 0; y < height; y++) {
      const from = ((channel * loaded[0] + (planar ? slice : low[0] + z)) * loaded[1] + low[1] + y) * loaded[2] +
        low[2];
      const to = offset + z * plane + y * row;
      for (let x = 0; x < width; x++) data[to + x] = factor * source[from + x];
    }
  }
  const volume = { data, offset, size, row, plane };
  splinePrefilter(volume, !planar);
  for (let z = 0; z < depth; z++) {
    for (let y = 0; y < height; y++) {
      const at = offset + z * plane + y * row;
      data[at - 1] = data[at + mirrored(-1, width)];
      for (const x of [width, width + 1]) data[at + x] = data[at + mirrored(x, width)];
    }
    for (const y of [-1, height, height + 1]) {
      const at = offset + z * plane - 1;
      const from = at + mirrored(y, height) * row;
      data.copyWithin(at + y * row, from, from + row);
    }
  }
  if (planar) return volume;
  for (const z of [-1, depth, depth + 1]) {
    const at = offset - row - 1;
    const from = at + mirrored(z, depth) * plane;
    data.copyWithin(at + z * plane, from, from + plane);
  }
  return volume;
}

/** Index of 0..count-1 that continues them by reflection without repeating the edge. */
function mirrored(index: number, count: number): number {
  if (count === 1) return 0;
  const period = 2 * (count - 1);
  const folded = ((index % period) + period) % period;
  return folded < count ? folded : period - folded;
}

function evaluate(
  volume: StridedVolume,
  { low }: ReadBox,
  loaded: Vec3,
  target: Float32Array,
  to: number,
  [depth, height, width]: Vec3,
  rows: RowGeometry,
  planar: boolean,
): void {
  const start = new Float64Array(3);
  const range = new Int32Array(2);
  for (let z = 0; z < depth; z++) {
    for (let y = 0; y < height; y++) {
      rows.startOf(z, y, start);
      narrowInside(range, start, rows.step, loaded, width, planar);
      const at = to + (z * height + y) * width;
      target.fill(0, at, at + range[0]);
      target.fill(0, at + range[1], at + width);
      for (let axis = 0; axis < 3; axis++) start[axis] -= low[axis];
      if (planar) planarRow(volume, target, at, start, rows.step, range[0], range[1]);
      else volumeRow(volume, target, at, start, rows.step, range[0], range[1]);
    }
  }
}

/** Voxels of a row that read at 0..n-1 along each axis (planar: along y and x). */
function narrowInside(
  range: Int32Array,
  start: Float64Array,
  step: Vec3,
  loaded: Vec3,
  width: number,
  planar: boolean,
): void {
  range[0] = 0;
  range[1] = width;
  for (let axis = planar ? 1 : 0; axis < 3; axis++) {
    const last = loaded[axis] - 1;
    narrowRange(range, start[axis], step[axis], last === 0 ? Number.MIN_VALUE : last * (1 + Number.EPSILON));
  }
}

function volumeRow(
  { data, offset, row, plane }: StridedVolume,
  target: Float32Array,
  to: number,
  start: Float64Array,
  step: Vec3,
  low: number,
  high: number,
): void {
  const [z0, y0, x0] = start;
  const [dz, dy, dx] = step;
  const first = offset - plane - row - 1;
  for (let i = low; i < high; i++) {
    const pz = z0 + i * dz;
    const py = y0 + i * dy;
    const px = x0 + i * dx;
    const z = pz | 0;
    const y = py | 0;
    const x = px | 0;
    const tz = pz - z;
    const ty = py - y;
    const tx = px - x;
    const rz = 1 - tz;
    const ry = 1 - ty;
    const rx = 1 - tx;
    const x0w = rx * rx * rx;
    const x1w = 4 - 3 * tx * tx * (1 + rx);
    const x2w = 4 - 3 * rx * rx * (1 + tx);
    const x3w = tx * tx * tx;
    const y0w = ry * ry * ry;
    const y1w = 4 - 3 * ty * ty * (1 + ry);
    const y2w = 4 - 3 * ry * ry * (1 + ty);
    const y3w = ty * ty * ty;
    let at = (first + Math.imul(z, plane) + Math.imul(y, row) + x) | 0;
    let sum = 0;
    for (let k = 0; k < 4; k++) {
      const zw = k === 0
        ? rz * rz * rz
        : k === 1
        ? 4 - 3 * tz * tz * (1 + rz)
        : k === 2
        ? 4 - 3 * rz * rz * (1 + tz)
        : tz * tz * tz;
      const b = (at + row) | 0;
      const c = (b + row) | 0;
      const d = (c + row) | 0;
      sum += zw * (
        y0w * (x0w * data[at] + x1w * data[at + 1] + x2w * data[at + 2] + x3w * data[at + 3]) +
        y1w * (x0w * data[b] + x1w * data[b + 1] + x2w * data[b + 2] + x3w * data[b + 3]) +
        y2w * (x0w * data[c] + x1w * data[c + 1] + x2w * data[c + 2] + x3w * data[c + 3]) +
        y3w * (x0w * data[d] + x1w * data[d + 1] + x2w * data[d + 2] + x3w * data[d + 3])
      );
      at = (at + plane) | 0;
    }
    target[to + i] = sum;
  }
}

function planarRow(
  { data, offset, row }: StridedVolume,
  target: Float32Array,
  to: number,
  start: Float64Array,
  step: Vec3,
  low: number,
  high: number,
): void {
  const [, y0, x0] = start;
  const [, dy, dx] = step;
  const first = offset - row - 1;
  for (let i = low; i < high; i++) {
    const py = y0 + i * dy;
    const px = x0 + i * dx;
    const y = py | 0;
    const x = px | 0;
    const ty = py - y;
    const tx = px - x;
    const ry = 1 - ty;
    const rx = 1 - tx;
    const x0w = rx * rx * rx;
    const x1w = 4 - 3 * tx * tx * (1 + rx);
    const x2w = 4 - 3 * rx * rx * (1 + tx);
    const x3w = tx * tx * tx;
    const a = (first + Math.imul(y, row) + x) | 0;
    const b = (a + row) | 0;
    const c = (b + row) | 0;
    const d = (c + row) | 0;
    target[to + i] = ry * ry * ry * (x0w * data[a] + x1w * data[a + 1] + x2w * data[a + 2] + x3w * data[a + 3]) +
      (4 - 3 * ty * ty * (1 + ry)) * (x0w * data[b] + x1w * data[b + 1] + x2w * data[b + 2] + x3w * data[b + 3]) +
      (4 - 3 * ry * ry * (1 + ty)) * (x0w * data[c] + x1w * data[c + 1] + x2w * data[c + 2] + x3w * data[c + 3]) +
      ty * ty * ty * (x0w * data[d] + x1w * data[d + 1] + x2w * data[d + 2] + x3w * data[d + 3]);
  }
}

/** Takes each voxel of `channels` channels from the nearest one; `outside` where there is none. */
export function resampleByNearest(
  source: Float32Array | Int16Array,
  channels: number,
  loaded: Vec3,
  target: Float32Array | Int16Array,
  patch: Vec3,
  rows: RowGeometry,
  planar: boolean,
  outside: number,
): void {
  const start = new Float64Array(3);
  const range = new Int32Array(2);
  const [depth, height, width] = patch;
  const plane = loaded[1] * loaded[2];
  for (let c = 0; c < channels; c++) {
    for (let z = 0; z < depth; z++) {
      for (let y = 0; y < height; y++) {
        rows.startOf(z, y, start);
        narrowInside(range, start, rows.step, loaded, width, planar);
        const to = ((c * depth + z) * height + y) * width;
        target.fill(outside, to, to + range[0]);
        target.fill(outside, to + range[1], to + width);
        const from = (c * loaded[0] + (planar ? z : 0)) * plane;
        const [z0, y0, x0] = start;
        const [dz, dy, dx] = rows.step;
        for (let i = range[0]; i < range[1]; i++) {
          const atZ = planar ? 0 : (z0 + i * dz + 0.5) | 0;
          const atY = (y0 + i * dy + 0.5) | 0;
          target[to + i] = source[from + atZ * plane + atY * loaded[2] + ((x0 + i * dx + 0.5) | 0)];
        }
      }
    }
  }
}

/** Resamples a label map of size `loaded` to `patch` by vote; -1 outside. */
export function resampleLabelsByVote(
  source: Int16Array,
  loaded: Vec3,
  target: Int16Array,
  patch: Vec3,
  rows: RowGeometry,
  planar: boolean,
): void {
  const start = new Float64Array(3);
  const range = new Int32Array(2);
  const mixed = new Int32Array(patch[2]);
  const cell = createCell();
  const [depth, height, width] = patch;
  for (let z = 0; z < depth; z++) {
    for (let y = 0; y < height; y++) {
      rows.startOf(z, y, start);
      narrowInside(range, start, rows.step, loaded, width, planar);
      const to = (z * height + y) * width;
      target.fill(-1, to, to + range[0]);
      target.fill(-1, to + range[1], to + width);
      const from = planar ? z * loaded[1] * loaded[2] : 0;
      voteRow(source, from, loaded, target, to, start, rows.step, range[0], range[1], planar, mixed, cell);
    }
  }
}

/** Most cells have one label; the others are noted in `mixed` and voted on behind the loop, for it to have no call. */
function voteRow(
  source: Int16Array,
  from: number,
  loaded: Vec3,
  target: Int16Array,
  to: number,
  start: Float64Array,
  step: Vec3,
  low: number,
  high: number,
  planar: boolean,
  mixed: Int32Array,
  cell: Cell,
): void {
  const [z0, y0, x0] = start;
  const [dz, dy, dx] = step;
  // A position on the last voxel is the end of the cell before it; an axis of one voxel, or that of the slices, has no cells.
  const [lastZ, lastY, lastX] = loaded.map((n) => Math.max(0, n - 2));
  const plane = planar || loaded[0] === 1 ? 0 : loaded[1] * loaded[2];
  const row = loaded[1] === 1 ? 0 : loaded[2];
  const next = loaded[2] === 1 ? 0 : 1;
  let count = 0;
  for (let i = low; i < high; i++) {
    const z = Math.min((z0 + i * dz) | 0, lastZ);
    const y = Math.min((y0 + i * dy) | 0, lastY);
    const x = Math.min((x0 + i * dx) | 0, lastX);
    const a = (from + Math.imul(z, plane) + Math.imul(y, row) + x) | 0;
    const b = (a + row) | 0;
    const c = (a + plane) | 0;
    const d = (b + plane) | 0;
    const label = source[a];
    const differing = (label ^ source[a + next]) | (label ^ source[b]) | (label ^ source[b + next]) |
      (label ^ source[c]) | (label ^ source[c + next]) | (label ^ source[d]) | (label ^ source[d + next]);
    target[to + i] = label;
    mixed[count] = i;
    count += differing === 0 ? 0 : 1;
  }
  for (let k = 0; k < count; k++) {
    const i = mixed[k];
    const pz = planar ? 0 : z0 + i * dz;
    const py = y0 + i * dy;
    const px = x0 + i * dx;
    const z = Math.min(pz | 0, lastZ);
    const y = Math.min(py | 0, lastY);
    const x = Math.min(px | 0, lastX);
    const a = from + z * plane + y * row + x;
    const [fz, fy, fx] = [pz - z, py - y, px - x];
    for (let corner = 0; corner < 8; corner++) {
      cell.labels[corner] = source[a + (corner & 4 ? plane : 0) + (corner & 2 ? row : 0) + (corner & 1 ? next : 0)];
      cell.weights[corner] = (corner & 4 ? fz : 1 - fz) * (corner & 2 ? fy : 1 - fy) * (corner & 1 ? fx : 1 - fx);
    }
    const nearest = source[a + (fz >= 0.5 ? plane : 0) + (fy >= 0.5 ? row : 0) + (fx >= 0.5 ? next : 0)];
    target[to + i] = vote(cell, 8, nearest, "exact");
  }
}
