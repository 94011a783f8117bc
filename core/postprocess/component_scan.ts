/**
 * One pass over a label volume that finds which voxels hang together: runs of one label along x, joined with those of the rows before
 * them. Neighbours are all 26 (8 within a single slice), as skimage.measure.label takes them by default. What is remembered is the
 * slice before and the one at work.
 */
import type { Vec3 } from "../base/shape.ts";

/** Labels as they are stored in a segmentation: 0 and more. */
export type LabelArray = Uint8Array | Uint16Array;

/**
 * What is told of a volume. A part is what was seen to hang together so far: voxels of one label; two parts may turn out to be one.
 * Parts are numbered from 0 in the order in which they begin, the same at every scan of the same volume.
 */
export interface ComponentSink {
  /** A new part begins. @param kind Which of the labels that were asked for, from 0. @returns its number, the next one */
  open(kind: number): number;
  /** Two parts of one label touch. */
  join(a: number, b: number): void;
  /** Two parts of different labels touch. Without it nobody looks for that. */
  touch?(a: number, b: number): void;
  /** Voxels `start` to `end` (excluded) of the volume belong to the part. Its row is not read again. */
  run(part: number, start: number, end: number): void;
}

/** Runs of a slice: positions along x, row after row; `rows[y]` is the first run of row y. */
interface SliceRuns {
  readonly rows: Uint32Array;
  starts: Int32Array;
  /** Excluded. */
  ends: Int32Array;
  kinds: Int32Array;
  parts: Int32Array;
  count: number;
}

/** No label that is stored is higher. */
const LABELS = 2 ** 16;

/** Tells `sink` of all voxels of `labels` in `data`, which has the shape (z, y, x). */
export function scanComponents(data: LabelArray, shape: Vec3, labels: readonly number[], sink: ComponentSink): void {
  const [slices, height, width] = shape;
  const kindOf = new Uint16Array(LABELS); // kind + 1; 0: not asked for
  labels.forEach((label, kind) => kindOf[label] = kind + 1);
  let before = emptySlice(height);
  let current = emptySlice(height);
  for (let z = 0; z < slices; z++) {
    [before, current] = [current, before];
    current.count = 0;
    for (let y = 0; y < height; y++) {
      const first = current.count;
      current.rows[y] = first;
      const base = (z * height + y) * width;
      appendRow(current, data, base, width, kindOf);
      if (current.count === first) continue;
      let mixed = y > 0 && joinRow(current, first, current, current.rows[y - 1], first, sink);
      if (z > 0) {
        for (let near = Math.max(0, y - 1); near <= Math.min(height - 1, y + 1); near++) {
          mixed = joinRow(current, first, before, before.rows[near], before.rows[near + 1], sink) || mixed;
        }
      }
      for (let i = first; i < current.count; i++) {
        if (current.parts[i] < 0) current.parts[i] = sink.open(current.kinds[i]);
      }
      if (sink.touch) touchAlongRow(current, first, sink);
      if (mixed && sink.touch) {
        if (y > 0) touchRow(current, first, current.count, current, current.rows[y - 1], first, sink);
        for (let near = Math.max(0, y - 1); z > 0 && near <= Math.min(height - 1, y + 1); near++) {
          touchRow(current, first, current.count, before, before.rows[near], before.rows[near + 1], sink);
        }
      }
      for (let i = first; i < current.count; i++) {
        sink.run(current.parts[i], base + current.starts[i], base + current.ends[i]);
      }
    }
    current.rows[height] = current.count;
  }
}

function emptySlice(height: number): SliceRuns {
  const some = 1024;
  return {
    rows: new Uint32Array(height + 1),
    starts: new Int32Array(some),
    ends: new Int32Array(some),
    kinds: new Int32Array(some),
    parts: new Int32Array(some),
    count: 0,
  };
}

/** Adds the runs of a row; none of them has a part yet (-1). */
function appendRow(slice: SliceRuns, data: LabelArray, base: number, width: number, kindOf: Uint16Array): void {
  for (let x = 0; x < width;) {
    const start = x;
    const label = data[base + x++];
    while (x < width && data[base + x] === label) x++;
    const kind = kindOf[label];
    if (kind === 0) continue;
    if (slice.count === slice.starts.length) growSlice(slice);
    const i = slice.count++;
    slice.starts[i] = start;
    slice.ends[i] = x;
    slice.kinds[i] = kind - 1;
    slice.parts[i] = -1;
  }
}

function growSlice(slice: SliceRuns): void {
  slice.starts = doubled(slice.starts);
  slice.ends = doubled(slice.ends);
  slice.kinds = doubled(slice.kinds);
  slice.parts = doubled(slice.parts);
}

function doubled(array: Int32Array): Int32Array {
  const larger = new Int32Array(2 * array.length);
  larger.set(array);
  return larger;
}

/**
 * Gives the runs of `slice` from `first` on the parts of the runs `from` to `to` (excluded) of a neighbouring row.
 * @returns true if runs of different labels touch
 */
function joinRow(
  slice: SliceRuns,
  first: number,
  near: SliceRuns,
  from: number,
  to: number,
  sink: ComponentSink,
): boolean {
  const { starts, ends, kinds, parts, count } = slice;
  let mixed = false;
  let j = from;
  for (let i = first; i < count; i++) {
    while (j < to && near.ends[j] < starts[i]) j++;
    for (let k = j; k < to && near.starts[k] <= ends[i]; k++) {
      if (near.kinds[k] !== kinds[i]) mixed = true;
      else if (parts[i] < 0) parts[i] = near.parts[k];
      else if (parts[i] !== near.parts[k]) sink.join(parts[i], near.parts[k]);
    }
  }
  return mixed;
}

/** As {@link joinRow}, once all runs have parts: tells of those of different labels. */
function touchRow(
  { starts, ends, kinds, parts }: SliceRuns,
  first: number,
  count: number,
  near: SliceRuns,
  from: number,
  to: number,
  sink: ComponentSink,
): void {
  let j = from;
  for (let i = first; i < count; i++) {
    while (j < to && near.ends[j] < starts[i]) j++;
    for (let k = j; k < to && near.starts[k] <= ends[i]; k++) {
      if (near.kinds[k] !== kinds[i]) sink.touch?.(parts[i], near.parts[k]);
    }
  }
}

/** Runs of one row that follow each other without a gap are of different labels. */
function touchAlongRow({ starts, ends, parts, count }: SliceRuns, first: number, sink: ComponentSink): void {
  for (let i = first + 1; i < count; i++) if (starts[i] === ends[i - 1]) sink.touch?.(parts[i - 1], parts[i]);
}
