/**
 * Resampling of images and logits to a new grid, axis by axis: resample_data_or_seg_to_shape (skimage's resize with splines, or
 * slice by slice where one axis is coarse) and resample_torch_fornnunet. Sources: nnunetv2/preprocessing/resampling.
 * Beside input and output only line and plane buffers are alive: the pass across planes goes through the output itself.
 */
import { equalVec3, type Vec3, voxelCount } from "../base/shape.ts";
import { nearestExactTable, nearestTable, torchLinearTable } from "./axis_tables.ts";
import type { ResamplePlan } from "./resample_plan.ts";
import { refuseGridChange, separateZAxis } from "./separate_z.ts";
import {
  type AxisOperator,
  combineRows,
  combineToLines,
  filterRows,
  identityOperator,
  replicateEdgeRows,
  splineOperator,
  tableOperator,
} from "./spline.ts";
export { resampleLabels } from "./resample_labels.ts";
export { separateZAxis } from "./separate_z.ts";

type Operators = readonly [AxisOperator, AxisOperator, AxisOperator];

/** Elements of a buffer of columns (256 KiB of float64): half an L2 cache or less. */
const BUFFER_ELEMENTS = 32768;
/** Rows of a plane that go through the pass along x together. */
const LINES_AT_ONCE = 16;

/**
 * (channels, ...from) to (channels, ...to), both f32 and contiguous; `data` is left as it is. The same array comes back if the grids
 * are equal, as upstream does.
 */
export function resampleImage(
  data: Float32Array,
  channels: number,
  from: Vec3,
  to: Vec3,
  plan: ResamplePlan,
): Float32Array {
  if (equalVec3(from, to)) return data;
  const result = new Float32Array(channels * voxelCount(to));
  for (let c = 0; c < channels; c++) {
    const source = data.subarray(c * voxelCount(from), (c + 1) * voxelCount(from));
    resampleChannel(source, from, result.subarray(c * voxelCount(to), (c + 1) * voxelCount(to)), to, plan);
  }
  return result;
}

/** One channel of {@link resampleImage}, into `target`. */
export function resampleChannel(
  source: Float32Array,
  from: Vec3,
  target: Float32Array,
  to: Vec3,
  plan: ResamplePlan,
): void {
  const { resampling } = plan;
  if (equalVec3(from, to)) return target.set(source);
  if (resampling.kind === "none") return refuseGridChange(from, to);
  const axis = separateZAxis(resampling, plan.currentSpacing, plan.newSpacing);
  const operator = (i: 0 | 1 | 2) =>
    resampling.kind === "torch"
      ? tableOperator(torchLinearTable(from[i], to[i]), from[i])
      : splineOperator(resampling.order, from[i], to[i]);
  const operators: Operators = [operator(0), operator(1), operator(2)];
  // Only orders above 1 can leave the range of their input.
  const clip = resampling.kind === "spline" && resampling.order > 1;
  if (axis === null) {
    const [low, high] = clip ? smallestAndLargest(source) : [-Infinity, Infinity];
    resampleSeparable(source, from, target, to, operators, low, high);
  } else if (resampling.kind === "spline" && resampling.orderZ > 0) {
    const between = withAxis(to, axis, from[axis]);
    const slices = new Float32Array(voxelCount(between));
    resampleSlices(source, from, slices, between, axis, operators, identityIndices(from[axis]), clip);
    const across = withAxis(
      [0, 1, 2].map((i) => identityOperator(to[i])),
      axis,
      splineOperator(resampling.orderZ, from[axis], to[axis]),
    );
    resampleSeparable(slices, between, target, to, across, -Infinity, Infinity);
  } else {
    const table = resampling.kind === "torch" ? nearestExactTable : nearestTable;
    resampleSlices(source, from, target, to, axis, operators, table(from[axis], to[axis]).first, clip);
  }
}

/** All three axes with their own operators; the result is clamped to [low, high]. */
function resampleSeparable(
  source: Float32Array,
  from: Vec3,
  target: Float32Array,
  to: Vec3,
  operators: Operators,
  low: number,
  high: number,
): void {
  const [across, rows, columns] = operators;
  const planeFrom = from[1] * from[2];
  const planeTo = to[1] * to[2];
  const planes = planeResampler(rows, columns);
  if (rows.identity && columns.identity) {
    resampleAcross(source, 0, target, 0, planeTo, across, low, high);
  } else if (across.identity) {
    for (let z = 0; z < to[0]; z++) planes(source, z * planeFrom, target, z * planeTo, low, high);
  } else if (planeFrom <= planeTo) {
    // Across first, on the smaller planes, into the end of the target; then each plane grows into its place, always behind the
    // planes still to be read.
    const tail = to[0] * (planeTo - planeFrom);
    resampleAcross(source, 0, target, tail, planeFrom, across, -Infinity, Infinity);
    for (let z = 0; z < to[0]; z++) planes(target, tail + z * planeFrom, target, z * planeTo, low, high);
  } else {
    // Planes first, as they shrink. They fit into the target if it has more of them; the pass across then works in place.
    const shrunk = from[0] <= to[0] ? target : new Float32Array(from[0] * planeTo);
    for (let z = 0; z < from[0]; z++) planes(source, z * planeFrom, shrunk, z * planeTo, -Infinity, Infinity);
    resampleAcross(shrunk, 0, target, 0, planeTo, across, low, high);
  }
}

/** Along the first axis of planes of `planeSize`, a block of adjacent columns at a time. Source and target may start at one place. */
function resampleAcross(
  source: Float32Array,
  sourceOffset: number,
  target: Float32Array,
  targetOffset: number,
  planeSize: number,
  operator: AxisOperator,
  low: number,
  high: number,
): void {
  const rows = operator.from + 2 * operator.pad;
  const block = Math.max(16, Math.min(planeSize, Math.floor(BUFFER_ELEMENTS / rows)));
  const whole = new Float64Array(rows * block);
  for (let column = 0; column < planeSize; column += block) {
    const columns = Math.min(block, planeSize - column);
    const buffer = columns === block ? whole : whole.subarray(0, rows * columns);
    for (let row = 0; row < operator.from; row++) {
      const from = sourceOffset + row * planeSize + column;
      const to = (operator.pad + row) * columns;
      for (let i = 0; i < columns; i++) buffer[to + i] = source[from + i];
    }
    replicateEdgeRows(buffer, operator.from, operator.pad, columns);
    filterRows(buffer, rows, columns, operator.poles);
    const place = { data: target, offset: targetOffset + column, stride: planeSize };
    combineRows(buffer, columns, operator, place, low, high);
  }
}

type PlaneResampler = (
  source: Float32Array,
  sourceOffset: number,
  target: Float32Array,
  targetOffset: number,
  low: number,
  high: number,
) => void;

/** Resamples one plane after the other with the same buffers. The source plane is read whole before the target is written. */
function planeResampler(rows: AxisOperator, columns: AxisOperator): PlaneResampler {
  const width = columns.to;
  const paddedLine = columns.from + 2 * columns.pad;
  const lines = new Float64Array(columns.identity ? 0 : paddedLine * LINES_AT_ONCE);
  const plane = new Float64Array((rows.from + 2 * rows.pad) * width);
  return (source, sourceOffset, target, targetOffset, low, high) => {
    for (let row = 0; row < rows.from; row += LINES_AT_ONCE) {
      const count = Math.min(LINES_AT_ONCE, rows.from - row);
      const to = (rows.pad + row) * width;
      if (columns.identity) {
        const from = sourceOffset + row * width;
        for (let i = 0; i < count * width; i++) plane[to + i] = source[from + i];
        continue;
      }
      const buffer = count === LINES_AT_ONCE ? lines : lines.subarray(0, paddedLine * count);
      for (let line = 0; line < count; line++) {
        const from = sourceOffset + (row + line) * columns.from;
        for (let i = 0; i < columns.from; i++) buffer[(columns.pad + i) * count + line] = source[from + i];
      }
      replicateEdgeRows(buffer, columns.from, columns.pad, count);
      filterRows(buffer, paddedLine, count, columns.poles);
      combineToLines(buffer, count, columns, plane, to, width);
    }
    replicateEdgeRows(plane, rows.from, rows.pad, width);
    filterRows(plane, rows.from + 2 * rows.pad, width, rows.poles);
    combineRows(plane, width, rows, { data: target, offset: targetOffset, stride: width }, low, high);
  };
}

/** Slices across `axis` one by one, each clamped to its own range; output slice j is made from source slice index[j]. */
function resampleSlices(
  source: Float32Array,
  from: Vec3,
  target: Float32Array,
  to: Vec3,
  axis: number,
  operators: Operators,
  index: Int32Array,
  clip: boolean,
): void {
  const [u, v] = axis === 0 ? [1, 2] : axis === 1 ? [0, 2] : [0, 1];
  const slices = planeResampler(operators[u], operators[v]);
  const input = new Float32Array(from[u] * from[v]);
  const output = new Float32Array(to[u] * to[v]);
  let computed = -1;
  for (let j = 0; j < index.length; j++) {
    if (index[j] !== computed) {
      computed = index[j];
      copySlice(source, from, axis, computed, input, "gather");
      const [low, high] = clip ? smallestAndLargest(input) : [-Infinity, Infinity];
      slices(input, 0, output, 0, low, high);
    }
    copySlice(target, to, axis, j, output, "scatter");
  }
}

/** Copies slice `position` across `axis` between a volume and a contiguous slice. */
function copySlice(
  volume: Float32Array,
  shape: Vec3,
  axis: number,
  position: number,
  slice: Float32Array,
  direction: "gather" | "scatter",
): void {
  const [n0, n1, n2] = shape;
  if (axis === 2) {
    const size = n0 * n1;
    if (direction === "gather") { for (let i = 0; i < size; i++) slice[i] = volume[i * n2 + position]; }
    else for (let i = 0; i < size; i++) volume[i * n2 + position] = slice[i];
    return;
  }
  const rows = axis === 0 ? 1 : n0;
  const length = axis === 0 ? n1 * n2 : n2;
  for (let row = 0; row < rows; row++) {
    const at = axis === 0 ? position * length : (row * n1 + position) * n2;
    if (direction === "gather") slice.set(volume.subarray(at, at + length), row * length);
    else volume.set(slice.subarray(row * length, (row + 1) * length), at);
  }
}

function smallestAndLargest(data: Float32Array): [number, number] {
  let low = Infinity;
  let high = -Infinity;
  for (let i = 0; i < data.length; i++) {
    low = Math.min(low, data[i]);
    high = Math.max(high, data[i]);
  }
  return [low, high];
}

function identityIndices(size: number): Int32Array {
  return Int32Array.from({ length: size }, (_, j) => j);
}

/** `values` with entry `axis` replaced. */
function withAxis<T>(values: readonly T[], axis: number, value: T): [T, T, T] {
  return [axis === 0 ? value : values[0], axis === 1 ? value : values[1], axis === 2 ? value : values[2]];
}
