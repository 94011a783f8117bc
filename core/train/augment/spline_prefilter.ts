/**
 * Coefficients of the cubic B-spline through the voxels of a volume, in float32 and in place.
 * Source: scipy.ndimage.spline_filter of order 3 with mode "mirror" (ni_splines.c); Unser, "Splines: a perfect fit for signal and image
 * processing" (1999). The filter's gain of 6 an axis is left to the weights, which are 6 times the B-spline's.
 */
import type { Vec3 } from "../../base/shape.ts";

const POLE = Math.sqrt(3) - 2;
/** What lies farther away than this counts less than 1e-12. */
const HORIZON = 22;
/** Rows along x that are filtered together: none waits for its own last result. */
const ROWS_AT_ONCE = 4;

/** Voxels (z, y, x) of `size` that start at `offset` of `data`, `row` from one y and `plane` from one z to the next. */
export interface StridedVolume {
  readonly data: Float32Array;
  readonly offset: number;
  readonly size: Vec3;
  readonly row: number;
  readonly plane: number;
}

/** Filters along every axis of more than one voxel; along z only if `acrossSlices`. */
export function splinePrefilter(volume: StridedVolume, acrossSlices: boolean): void {
  const { data, offset, size: [depth, height, width], row, plane } = volume;
  const [forX, forY, forZ] = [width, height, depth].map(startWeights);
  for (let z = 0; z < depth; z++) {
    const at = offset + z * plane;
    if (width > 1) {
      let y = 0;
      for (; y + ROWS_AT_ONCE <= height; y += ROWS_AT_ONCE) filterFourRows(data, at + y * row, row, width, forX);
      for (; y < height; y++) filterAcross(data, at + y * row, 1, width, 1, forX);
    }
    if (height > 1) filterAcross(data, at, row, height, width, forY);
  }
  if (!acrossSlices || depth < 2) return;
  for (let y = 0; y < height; y++) filterAcross(data, offset + y * row, plane, depth, width, forZ);
}

/** Weights of the first samples in the first value of the causal filter, whose input goes on mirrored beyond both ends. */
function startWeights(count: number): Float64Array {
  const period = 2 * count - 2;
  const weights = new Float64Array(Math.min(count, HORIZON));
  for (let i = 0; i < weights.length; i++) {
    const once = i === 0 || i === count - 1;
    weights[i] = (POLE ** i + (once ? 0 : POLE ** (period - i))) / (1 - POLE ** period);
  }
  return weights;
}

/** Filters `columns` adjacent columns of `count` samples, `stride` from one sample to the next. */
function filterAcross(
  data: Float32Array,
  at: number,
  stride: number,
  count: number,
  columns: number,
  weights: Float64Array,
): void {
  for (let c = at; c < at + columns; c++) data[c] *= weights[0];
  for (let i = 1; i < weights.length; i++) {
    const weight = weights[i];
    const ahead = i * stride;
    for (let c = at; c < at + columns; c++) data[c] += weight * data[c + ahead];
  }
  for (let i = 1; i < count; i++) {
    const line = at + i * stride;
    for (let c = line; c < line + columns; c++) data[c] += POLE * data[c - stride];
  }
  const last = at + (count - 1) * stride;
  const end = POLE / (POLE * POLE - 1);
  for (let c = last; c < last + columns; c++) data[c] = (POLE * data[c - stride] + data[c]) * end;
  for (let i = count - 2; i >= 0; i--) {
    const line = at + i * stride;
    for (let c = line; c < line + columns; c++) data[c] = POLE * (data[c + stride] - data[c]);
  }
}

/** The same along four rows. */
function filterFourRows(data: Float32Array, at: number, row: number, count: number, weights: Float64Array): void {
  const b = at + row;
  const c = b + row;
  const d = c + row;
  let [v0, v1, v2, v3] = [0, 0, 0, 0];
  for (let i = 0; i < weights.length; i++) {
    v0 += weights[i] * data[at + i];
    v1 += weights[i] * data[b + i];
    v2 += weights[i] * data[c + i];
    v3 += weights[i] * data[d + i];
  }
  data[at] = v0;
  data[b] = v1;
  data[c] = v2;
  data[d] = v3;
  for (let i = 1; i < count; i++) {
    v0 = data[at + i] + POLE * v0;
    v1 = data[b + i] + POLE * v1;
    v2 = data[c + i] + POLE * v2;
    v3 = data[d + i] + POLE * v3;
    data[at + i] = v0;
    data[b + i] = v1;
    data[c + i] = v2;
    data[d + i] = v3;
  }
  const end = POLE / (POLE * POLE - 1);
  const last = count - 1;
  v0 = (POLE * data[at + last - 1] + v0) * end;
  v1 = (POLE * data[b + last - 1] + v1) * end;
  v2 = (POLE * data[c + last - 1] + v2) * end;
  v3 = (POLE * data[d + last - 1] + v3) * end;
  data[at + last] = v0;
  data[b + last] = v1;
  data[c + last] = v2;
  data[d + last] = v3;
  for (let i = last - 1; i >= 0; i--) {
    v0 = POLE * (v0 - data[at + i]);
    v1 = POLE * (v1 - data[b + i]);
    v2 = POLE * (v2 - data[c + i]);
    v3 = POLE * (v3 - data[d + i]);
    data[at + i] = v0;
    data[b + i] = v1;
    data[c + i] = v2;
    data[d + i] = v3;
  }
}
