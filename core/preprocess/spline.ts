/**
 * Interpolation along one axis as an operator on lines: replicate the edges, run the B-spline prefilter, take a few weighted
 * neighbours for every output sample. Three of them in turn are skimage's `resize(mode="edge", anti_aliasing=False)`, which is
 * scipy's `zoom(grid_mode=True, mode="nearest")` (ni_interpolation.c, ni_splines.c). Lines are float64; volumes never are.
 *
 * Lines lie side by side as the columns of a row-major buffer, so that every inner loop runs over adjacent memory.
 */
import { linearTable, nearestTable } from "./axis_tables.ts";
import type { AxisTable } from "../engine/volume.ts";

/** One axis taken from `from` to `to` samples: out[j] = sum over k of weights[j * taps + k] * padded[start[j] + k]. */
export interface AxisOperator {
  readonly from: number;
  readonly to: number;
  /** True where the operator returns its input. */
  readonly identity: boolean;
  /** Edge samples replicated at either end before filtering; `start` counts them. */
  readonly pad: number;
  readonly poles: readonly number[];
  readonly taps: number;
  readonly start: Int32Array;
  readonly weights: Float64Array;
}

/** Poles of the B-spline prefilters (Unser 1999, table I), by order; orders 0 and 1 need none. */
const POLES: readonly (readonly number[])[] = [
  [],
  [],
  [Math.sqrt(8) - 3],
  [Math.sqrt(3) - 2],
  [
    Math.sqrt(664 - Math.sqrt(438976)) + Math.sqrt(304) - 19,
    Math.sqrt(664 + Math.sqrt(438976)) - Math.sqrt(304) - 19,
  ],
  [
    Math.sqrt(67.5 - Math.sqrt(4436.25)) + Math.sqrt(26.25) - 6.5,
    Math.sqrt(67.5 + Math.sqrt(4436.25)) - Math.sqrt(26.25) - 6.5,
  ],
];

/** Interpolation of order 0 (nearest), 1 (linear) or 2 to 5 (B-spline) with pixel centres: j -> (j + 0.5) * from / to - 0.5. */
export function splineOperator(order: number, from: number, to: number): AxisOperator {
  if (from === to) return identityOperator(from);
  if (order === 0) return tableOperator(nearestTable(from, to), from);
  const taps = order + 1;
  // One pole: its boundary values are exact, two samples are only read by the taps. Two poles: the second filter's boundary
  // is exact up to pole^pad.
  const pad = order === 1 ? 1 : order <= 3 ? 2 : 32;
  const poles = POLES[order];
  const gain = poles.reduce((product, pole) => product * (1 - pole) * (1 - 1 / pole), 1);
  const start = new Int32Array(to);
  const weights = new Float64Array(to * taps);
  const scale = from / to;
  for (let j = 0; j < to; j++) {
    let x = (j + 0.5) * scale - 0.5;
    if (order === 1) x = Math.min(Math.max(x, 0), from - 1);
    const first = order % 2 === 1 ? Math.floor(x) - (order - 1) / 2 : Math.floor(x + 0.5) - order / 2;
    start[j] = first + pad;
    for (let k = 0; k < taps; k++) weights[j * taps + k] = gain * bSpline(order, x - (first + k));
  }
  return { from, to, identity: false, pad, poles, taps, start, weights };
}

/** A 1-D linear table as an operator. */
export function tableOperator(table: AxisTable, from: number): AxisOperator {
  const to = table.first.length;
  const nearest = table.fraction.every((fraction) => fraction === 0);
  const taps = nearest ? 1 : 2;
  const pad = nearest ? 0 : 1;
  const weights = new Float64Array(to * taps);
  for (let j = 0; j < to; j++) {
    weights[j * taps] = 1 - table.fraction[j];
    if (!nearest) weights[j * taps + 1] = table.fraction[j];
  }
  const start = table.first.map((first) => first + pad);
  const identity = from === to && nearest && table.first.every((first, j) => first === j);
  return { from, to, identity, pad, poles: [], taps, start, weights };
}

export function identityOperator(size: number): AxisOperator {
  return tableOperator({ ...linearTable(size, size), fraction: new Float32Array(size) }, size);
}

/** The centred B-spline of an order at x: sum of (-1)^k C(n+1, k) (x + (n+1)/2 - k)_+^n / n!. */
function bSpline(order: number, x: number): number {
  let sum = 0;
  let binomial = 1;
  let factorial = 1;
  const a = -Math.abs(x); // symmetric; the left half has the fewer, smaller terms
  for (let k = 0; k <= order + 1; k++) {
    const t = a + (order + 1) / 2 - k;
    if (t <= 0) break;
    sum += (k % 2 === 0 ? binomial : -binomial) * t ** order;
    binomial = (binomial * (order + 1 - k)) / (k + 1);
  }
  for (let k = 2; k <= order; k++) factorial *= k;
  return sum / factorial;
}

/** Copies the first and last of `size` rows (which start at row `pad`) into the `pad` rows before and after them. */
export function replicateEdgeRows(buffer: Float64Array, size: number, pad: number, columns: number): void {
  const first = pad * columns;
  const last = (pad + size - 1) * columns;
  for (let row = 0; row < pad; row++) {
    buffer.copyWithin(row * columns, first, first + columns);
    buffer.copyWithin((pad + size + row) * columns, last, last + columns);
  }
}

/**
 * B-spline prefilter along the rows, in place, without its gain (that is in the weights). Outside the buffer the first and the
 * last row go on for ever, which scipy's 12 replicated samples with mirrored ends approach to 1e-13.
 */
export function filterRows(buffer: Float64Array, rows: number, columns: number, poles: readonly number[]): void {
  for (const pole of poles) {
    const steady = 1 / (1 - pole);
    for (let c = 0; c < columns; c++) buffer[c] *= steady;
    for (let i = columns; i < rows * columns; i += columns) {
      for (let c = i; c < i + columns; c++) buffer[c] += pole * buffer[c - columns];
    }
    const last = (rows - 1) * columns;
    const toSteady = -pole * steady;
    const toRest = (-pole * pole) / (1 - pole * pole);
    for (let c = last; c < last + columns; c++) {
      const value = buffer[c];
      const limit = (value - pole * buffer[c - columns]) * steady;
      buffer[c] = pole * (limit * toSteady + (value - limit) * toRest - value);
    }
    for (let i = last - columns; i >= 0; i -= columns) {
      for (let c = i; c < i + columns; c++) buffer[c] = pole * (buffer[c + columns] - buffer[c]);
    }
  }
}

/** Where a volume's or plane's values are kept between passes. */
export interface RowTarget {
  readonly data: Float32Array;
  readonly offset: number;
  /** Elements from one output row to the next. */
  readonly stride: number;
}

/** Every output row of the operator from the filtered rows, clamped to [low, high] (Math.min and max: twice as fast as ?:). */
export function combineRows(
  buffer: Float64Array,
  columns: number,
  operator: AxisOperator,
  target: RowTarget,
  low: number,
  high: number,
): void {
  const { to, taps, start, weights } = operator;
  const { data, offset, stride } = target;
  for (let j = 0; j < to; j++) {
    const a = start[j] * columns;
    const out = offset + j * stride;
    const w = j * taps;
    if (taps === 4) {
      const b = a + columns;
      const c = b + columns;
      const d = c + columns;
      const w0 = weights[w];
      const w1 = weights[w + 1];
      const w2 = weights[w + 2];
      const w3 = weights[w + 3];
      for (let i = 0; i < columns; i++) {
        const value = w0 * buffer[a + i] + w1 * buffer[b + i] + w2 * buffer[c + i] + w3 * buffer[d + i];
        data[out + i] = Math.max(low, Math.min(high, value));
      }
    } else if (taps === 2) {
      const b = a + columns;
      const w0 = weights[w];
      const w1 = weights[w + 1];
      for (let i = 0; i < columns; i++) {
        const value = w0 * buffer[a + i] + w1 * buffer[b + i];
        data[out + i] = Math.max(low, Math.min(high, value));
      }
    } else {
      for (let i = 0; i < columns; i++) {
        let value = 0;
        for (let k = 0; k < taps; k++) value += weights[w + k] * buffer[a + k * columns + i];
        data[out + i] = Math.max(low, Math.min(high, value));
      }
    }
  }
}

/** As {@link combineRows}, but column i becomes line i of `plane` (lines `lineLength` apart): the last axis of a plane. */
export function combineToLines(
  buffer: Float64Array,
  columns: number,
  operator: AxisOperator,
  plane: Float64Array,
  offset: number,
  lineLength: number,
): void {
  const { to, taps, start, weights } = operator;
  for (let j = 0; j < to; j++) {
    const a = start[j] * columns;
    const out = offset + j;
    const w = j * taps;
    if (taps === 4) {
      const b = a + columns;
      const c = b + columns;
      const d = c + columns;
      const w0 = weights[w];
      const w1 = weights[w + 1];
      const w2 = weights[w + 2];
      const w3 = weights[w + 3];
      for (let i = 0; i < columns; i++) {
        plane[out + i * lineLength] = w0 * buffer[a + i] + w1 * buffer[b + i] + w2 * buffer[c + i] + w3 * buffer[d + i];
      }
    } else {
      for (let i = 0; i < columns; i++) {
        let value = 0;
        for (let k = 0; k < taps; k++) value += weights[w + k] * buffer[a + k * columns + i];
        plane[out + i * lineLength] = value;
      }
    }
  }
}
