/**
 * From logits to labels or probabilities on a GPU: see kernels/operators/volume/resample.ts. A thread makes one output voxel: it mixes the
 * logits of its eight source voxels four channels at a time and uses them at once (for labels, only the best so far is kept). Neighbouring
 * threads are neighbours along the output's columns and share their sources through the caches; axes that are not resampled cost no second
 * read.
 */
import {
  checkMixTables,
  type LabelChoice,
  mixEntry,
  type MixTables,
  type ResampleOf,
  sourcePlanes,
  type ToLabels,
  type ToProbabilities,
} from "../../operators/volume/resample.ts";
import { padToFour } from "../../../core/base/shape.ts";
import {
  type ArrayLayout,
  type ArrayView,
  arrayView,
  bindingsOf,
  inSegment,
  touchedSegments,
  wholeView,
} from "../emit/views.ts";
import { cutToFit, MAX_THREADS, type ThreadRange, WORKGROUP } from "../emit/ranges.ts";
import { i32, threadKernel, threadMain, u32, type Uniform } from "../emit/thread_kernel.ts";
import type { WgslOperator } from "../kernel.ts";
import type { RingGeometry } from "./accumulate.ts";
import { type Box, boxOf, extent } from "./box.ts";
import { chooseText, mixedText, probabilitiesText, unrollsBlocks } from "./resample_text.ts";

interface ResampleRange extends ResampleOf<RingGeometry> {
  /** f32; elements are vec4. */
  readonly logits: ArrayLayout;
  /** What {@link packResampleTables} was given, whose result `tablesSlot` holds within one binding. */
  readonly tables: MixTables;
}

export interface ResampleLabels extends ResampleRange, ToLabels {
  readonly rule: LabelChoice;
  /** u32 words of four u8 or two u16 labels, the first in the low bits: the bytes of a Uint8Array or Uint16Array, rounded up to whole words. */
  readonly target: ArrayLayout;
}

export interface ResampleProbabilities extends ResampleRange, ToProbabilities {
  /** Elements are single f32. */
  readonly target: ArrayLayout;
}

/** Bytes of logits that the threads of one dispatch load, at most: some milliseconds even on a small GPU. */
const LONGEST_LOADS = 2 ** 31;
const ENTRY_BYTES = 16;

/**
 * The constants of a resampling as one block for `tablesSlot`, the same for every range of planes: an entry of 16 bytes for each output
 * plane, row and column (first and second source as u32, planes as places in the ring; 1 - fraction and fraction as f32), then the label
 * values as u32, one more (0, where no region is), rounded up to 16 bytes.
 * @throws RangeError if an entry reads beyond the ring's volume.
 */
export function packResampleTables(
  ring: RingGeometry,
  tables: MixTables,
  values: readonly number[] = [],
): Uint8Array<ArrayBuffer> {
  checkMixTables(ring, tables);
  const entries = tables.reduce((sum, table) => sum + table.first.length, 0);
  const bytes = new Uint8Array((entries + Math.ceil((values.length + 1) / 4)) * ENTRY_BYTES);
  const view = new DataView(bytes.buffer);
  const wraps = [ring.planes, ring.rows, ring.columns];
  let at = 0;
  tables.forEach((table, axis) => {
    for (let j = 0; j < table.first.length; j++, at += ENTRY_BYTES) {
      const { first, second, fraction } = mixEntry(table, j);
      view.setUint32(at, first % wraps[axis], true);
      view.setUint32(at + 4, second % wraps[axis], true);
      view.setFloat32(at + 8, 1 - fraction, true);
      view.setFloat32(at + 12, fraction, true);
    }
  });
  values.forEach((value, i) => view.setUint32(at + i * 4, value, true));
  return bytes;
}

/**
 * Interpolates logits and writes one label a voxel.
 *
 * Labels share words, and with any strides the voxels of a word belong to threads far apart; so a label is written by two atomic
 * operations, one that clears its bits and one that sets them. Labels never share bits, so the order of the threads does not matter.
 */
export function planResampleToLabels(spec: ResampleLabels): WgslOperator {
  const { target, view, rule } = spec;
  const perWord = spec.targetType === "u8" ? 4 : 2;
  const bits = 32 / perWord;
  const views = (box: Box): ArrayView[] => {
    const words = extent(box, view.strides, view.offset).map((label) => Math.floor(label / perWord));
    return [arrayView("words", target, "atomic<u32>", "read_write", touchedSegments(target, [[words[0], words[1]]]))];
  };
  const uniforms = {
    offset: u32(view.offset),
    plane_stride: i32(view.strides[0]),
    row_stride: i32(view.strides[1]),
    column_stride: i32(view.strides[2]),
  };
  const text = ([words]: readonly ArrayView[], unroll: boolean) =>
    `${chooseText(rule.kind, spec.ring.channels, unroll)}

fn put(plane: u32, row: u32, column: u32, sources: Sources) {
  let channel = choose(sources);
  let values = p.tables_of_columns + p.columns;
  let label = load_tables(values + channel / 4u)[channel % 4u];
  let at = p.offset + u32(i32(plane) * p.plane_stride + i32(row) * p.row_stride + i32(column) * p.column_stride);
  let word = at / ${perWord}u;
  let shift = at % ${perWord}u * ${bits}u;
  ${
      inSegment(
        words,
        "word",
        (element) =>
          `atomicAnd(&${element}, ~(${2 ** bits - 1}u << shift)); atomicOr(&${element}, (label & ${
            2 ** bits - 1
          }u) << shift);`,
      )
    }
}`;
  return resample(spec, `${rule.kind} to ${spec.targetType}`, views, uniforms, text, bits / 8);
}

/** Interpolates logits and writes softmax (over the channels) or sigmoid of them, channels first: neighbouring threads write neighbours. */
export function planResampleToProbabilities(spec: ResampleProbabilities): WgslOperator {
  const { target, tables, ring, from } = spec;
  const channelStride = tables[1].first.length * tables[2].first.length;
  const views = (
    [[first, last]]: Box,
  ): ArrayView[] => [arrayView(
    "probabilities",
    target,
    "f32",
    "read_write",
    touchedSegments(target, [[
      (first - from) * ring.channels * channelStride,
      (last + 1 - from) * ring.channels * channelStride - 1,
    ]]),
  )];
  const text = (_: readonly ArrayView[], unroll: boolean) =>
    `${probabilitiesText(spec.nonlinearity, ring.channels, unroll)}

fn put(plane: u32, row: u32, column: u32, sources: Sources) {
  let stride = p.rows * p.columns;
  put_probabilities(sources, (plane - p.first_plane) * stride * ${ring.channels}u + row * p.columns + column, stride);
}`;
  return resample(spec, spec.nonlinearity, views, {}, text, ring.channels * 4);
}

function resample(
  spec: ResampleRange,
  name: string,
  targetViews: (box: Box) => ArrayView[],
  uniforms: Readonly<Record<string, Uniform>>,
  putText: (targets: readonly ArrayView[], unroll: boolean) => string,
  bytesWritten: number,
): WgslOperator {
  const { ring, logits, tables, from, to } = spec;
  const [planes, rows, columns] = tables.map((table) => table.first.length);
  const padded = padToFour(ring.channels);
  const mixes = tables.map((table) => table.first.some((_, j) => mixEntry(table, j).fraction !== 0));
  const sources = 2 ** mixes.filter(Boolean).length;
  /** Voxels of the output planes before `from`: threads count from there. */
  const before = from * rows * columns;
  const viewsOf = (range: ThreadRange): { sources: ArrayView[]; targets: ArrayView[] } => {
    const box = boxOf({ start: range.start + before, end: range.end + before }, rows * columns, columns, columns);
    return {
      sources: [
        arrayView("logits", logits, "vec4<f32>", "read", touchedSegments(logits, sourceRanges(spec, box, padded / 4))),
        wholeView("tables", spec.tablesSlot, "vec4<u32>", "read"),
      ],
      targets: targetViews(box),
    };
  };
  const allViewsOf = (range: ThreadRange) => Object.values(viewsOf(range)).flat();
  const voxels = (to - from) * rows * columns;
  const loads = Math.floor(LONGEST_LOADS / (sources * padded * 4) / WORKGROUP) * WORKGROUP;
  const longest = Math.max(WORKGROUP, Math.min(MAX_THREADS, loads));
  const ranges = cutToFit(voxels, [], [rows * columns, columns], allViewsOf, longest);
  const dispatches = ranges.map((range) => {
    const { sources, targets } = viewsOf(range);
    const values = {
      first_plane: u32(from),
      rows: u32(rows),
      columns: u32(columns),
      // Where the entries of rows and columns begin; those of planes are the first.
      tables_of_rows: u32(planes),
      tables_of_columns: u32(planes + rows),
      ring_rows: u32(ring.rows),
      ring_columns: u32(ring.columns),
      ...uniforms,
    };
    const code = `${mixedText(mixes, padded / 4)}

${putText(targets, unrollsBlocks(padded / 4, Math.max(bindingsOf([sources[0]]), bindingsOf(targets))))}

${threadMain("thread")}
  let line = thread / p.columns;
  let column = thread % p.columns;
  let row = line % p.rows;
  let plane = p.first_plane + line / p.rows;
  put(plane, row, column, sources_of(plane, row, column));
}
`;
    return threadKernel(`resample: ${name}`, [...sources, ...targets], range, code, values);
  });
  return {
    algorithm: `resample: ${name}`,
    dispatches,
    temporaries: {},
    flops: voxels * padded * (2 * sources - 1),
    bytes: sourcePlanes(spec, planes) * ring.rows * ring.columns * padded * 4 + voxels * bytesWritten,
  };
}

/** Elements of the ring that a box of output voxels reads: for each source plane, from its first to its last row read. */
function sourceRanges({ ring, tables }: ResampleRange, box: Box, blocks: number): [number, number][] {
  const sourcesOf = (axis: 0 | 1) => {
    const found = new Set<number>();
    for (let j = box[axis][0]; j <= box[axis][1]; j++) {
      const { first, second } = mixEntry(tables[axis], j);
      found.add(first).add(second);
    }
    return [...found];
  };
  const rows = sourcesOf(1).reduce(([least, most], u) => [Math.min(least, u), Math.max(most, u)], [ring.rows, 0]);
  const rowElements = ring.columns * blocks;
  return sourcesOf(0).map((plane) => {
    const start = (plane % ring.planes) * ring.rows;
    return [(start + rows[0]) * rowElements, (start + rows[1] + 1) * rowElements - 1];
  });
}
