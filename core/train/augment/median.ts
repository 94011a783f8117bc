/**
 * Median filter of a channel by a histogram of the window that slides along each row (Huang, Yang and Tang, "A fast two-dimensional
 * median filtering algorithm", 1979), of values to a 65536th of the channel's range; where the median's level holds several values of the
 * window, they are compared themselves.
 * Source: scipy.ndimage.median_filter, mode "reflect": of an even number of values the upper median; windows of even width reach one
 * voxel farther back than forth.
 */
import type { Vec3 } from "../../base/shape.ts";
import { rangeOf } from "./intensity.ts";
import { symmetricIndex } from "./symmetric.ts";

const LEVELS = 65536;
/** Levels are counted by themselves, by 32 and by 1024, so that runs of empty ones are skipped. */
const FINE_BITS = 5;
const COARSE_BITS = 10;

interface Histogram {
  readonly single: Uint16Array;
  readonly fine: Uint16Array;
  readonly coarse: Uint16Array;
  /** The last value added to each level. What is added last leaves last: of a level that holds one value, this is it. */
  readonly latest: Float32Array;
  /** The level at which the median was last, and how many values are below it. */
  level: number;
  below: number;
}

/** The channel by voxel. */
interface Levels {
  readonly values: Float32Array;
  readonly levels: Uint16Array;
  /** 1 where the voxels of a level differ. */
  readonly mixed: Uint8Array;
}

/**
 * Replaces every voxel of `image` (size) by the median of the `width` voxels along each axis around it; not along z where the size is 1.
 * @param scratch Two of the channel's length
 */
export function medianFilter(
  image: Float32Array,
  size: Vec3,
  width: number,
  scratch: readonly [Float32Array, Float32Array],
): void {
  const { lowest, highest } = rangeOf(image);
  if (highest === lowest) return;
  const channel = levelsOf(image, lowest, highest, scratch);
  const [depth, height, columns] = size;
  const back = width >> 1;
  const window = windowColumns(columns, width, back);
  const zs = depth === 1 ? 1 : width;
  const rows = new Int32Array(zs * width);
  const rank = (zs * width * width) >> 1;
  const histogram: Histogram = {
    single: new Uint16Array(LEVELS),
    fine: new Uint16Array(LEVELS >> FINE_BITS),
    coarse: new Uint16Array(LEVELS >> COARSE_BITS),
    latest: new Float32Array(LEVELS),
    level: 0,
    below: 0,
  };
  for (let z = 0; z < depth; z++) {
    for (let y = 0; y < height; y++) {
      for (let k = 0; k < rows.length; k++) {
        const atZ = zs === 1 ? z : symmetricIndex(z - back + Math.floor(k / width), depth);
        rows[k] = (atZ * height + symmetricIndex(y - back + k % width, height)) * columns;
      }
      filterRow(channel, rows, window, width, rank, histogram, image, (z * height + y) * columns, columns);
    }
  }
}

function levelsOf(
  image: Float32Array,
  lowest: number,
  highest: number,
  [values, rest]: readonly [Float32Array, Float32Array],
): Levels {
  const levels = new Uint16Array(rest.buffer, rest.byteOffset, image.length);
  const mixed = new Uint8Array(LEVELS);
  const first = new Float32Array(LEVELS).fill(NaN);
  const perLevel = (LEVELS - 1) / (highest - lowest);
  values.set(image);
  for (let i = 0; i < image.length; i++) {
    const value = image[i];
    const level = ((value - lowest) * perLevel) | 0;
    levels[i] = level;
    if (first[level] === value) continue;
    if (first[level] === first[level]) mixed[level] = 1; // not NaN: there was another
    else first[level] = value;
  }
  return { values, levels, mixed };
}

/** Indices of the columns from `back` before the first to the last one's window end. */
function windowColumns(columns: number, width: number, back: number): Int32Array {
  return Int32Array.from({ length: columns + width - 1 }, (_, i) => symmetricIndex(i - back, columns));
}

function filterRow(
  channel: Levels,
  rows: Int32Array,
  window: Int32Array,
  width: number,
  rank: number,
  histogram: Histogram,
  target: Float32Array,
  to: number,
  columns: number,
): void {
  const { single, latest } = histogram;
  for (let i = 0; i < width - 1; i++) addColumn(channel, rows, window[i], histogram);
  for (let x = 0; x < columns; x++) {
    addColumn(channel, rows, window[x + width - 1], histogram);
    const level = findRank(histogram, rank);
    target[to + x] = single[level] === 1 || channel.mixed[level] === 0
      ? latest[level]
      : valueAmong(channel, rows, window, x, width, level, rank - histogram.below);
    removeColumn(channel, rows, window[x], histogram);
  }
  for (let i = columns; i < columns + width - 1; i++) removeColumn(channel, rows, window[i], histogram);
}

function addColumn({ values, levels }: Levels, rows: Int32Array, column: number, histogram: Histogram): void {
  const { single, fine, coarse, latest, level } = histogram;
  let below = histogram.below;
  for (let k = 0; k < rows.length; k++) {
    const at = rows[k] + column;
    const one = levels[at];
    single[one]++;
    fine[one >> FINE_BITS]++;
    coarse[one >> COARSE_BITS]++;
    latest[one] = values[at];
    below -= (one - level) >> 31; // -1 where it is below
  }
  histogram.below = below;
}

function removeColumn({ levels }: Levels, rows: Int32Array, column: number, histogram: Histogram): void {
  const { single, fine, coarse, level } = histogram;
  let below = histogram.below;
  for (let k = 0; k < rows.length; k++) {
    const one = levels[rows[k] + column];
    single[one]--;
    fine[one >> FINE_BITS]--;
    coarse[one >> COARSE_BITS]--;
    below += (one - level) >> 31;
  }
  histogram.below = below;
}

/** Of the window's values of one level the one with `rank` of them before it. */
function valueAmong(
  { values, levels }: Levels,
  rows: Int32Array,
  window: Int32Array,
  first: number,
  width: number,
  level: number,
  rank: number,
): number {
  const found: number[] = [];
  for (let i = first; i < first + width; i++) {
    const column = window[i];
    for (let k = 0; k < rows.length; k++) {
      if (levels[rows[k] + column] === level) found.push(values[rows[k] + column]);
    }
  }
  return found.sort((a, b) => a - b)[rank];
}

/** The level of the value with `rank` values before it, from where it was last. */
function findRank(histogram: Histogram, rank: number): number {
  const { single, fine, coarse } = histogram;
  let { level, below } = histogram;
  while (below > rank) {
    if ((level & ((1 << COARSE_BITS) - 1)) === 0 && below - coarse[(level >> COARSE_BITS) - 1] > rank) {
      below -= coarse[(level >> COARSE_BITS) - 1];
      level -= 1 << COARSE_BITS;
    } else if ((level & ((1 << FINE_BITS) - 1)) === 0 && below - fine[(level >> FINE_BITS) - 1] > rank) {
      below -= fine[(level >> FINE_BITS) - 1];
      level -= 1 << FINE_BITS;
    } else below -= single[--level];
  }
  while (below + single[level] <= rank) {
    if ((level & ((1 << COARSE_BITS) - 1)) === 0 && below + coarse[level >> COARSE_BITS] <= rank) {
      below += coarse[level >> COARSE_BITS];
      level += 1 << COARSE_BITS;
    } else if ((level & ((1 << FINE_BITS) - 1)) === 0 && below + fine[level >> FINE_BITS] <= rank) {
      below += fine[level >> FINE_BITS];
      level += 1 << FINE_BITS;
    } else below += single[level++];
  }
  histogram.level = level;
  histogram.below = below;
  return level;
}
