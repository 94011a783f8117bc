/**
 * Labels of resampled logits. Interpolation is monotonic: where the same channel decides at all (up to eight) source voxels around an
 * output voxel, it decides there too, so nothing needs interpolating. Every source voxel is therefore classified once, which reads the
 * ring once; the output voxels between different channels, the boundaries, are interpolated channel by channel.
 * (Rounding could only make an earlier channel equal to one that is larger at every source voxel: then this is the truer answer.)
 *
 * Classified rows lie in scratch as u16 channel indices, in 2 * cacheRows places: a row's place follows from its plane and row, a tag says
 * which row it holds. Tables that need two rows of one place at once are still right, they interpolate everywhere.
 */
import { distance, walk } from "../elementwise/simd.ts";
import { i32, i32x4, i64, simd, type V128, v128 } from "../emit/expression.ts";
import type { FunctionBuilder, FunctionReference, Kernel, Local } from "../emit/module_builder.ts";
import { ENTRY_BYTES } from "./resample.ts";
import {
  argmax,
  eachOutputRow,
  emitClassifyRow,
  mix,
  readEntry,
  readItem,
  regions,
  type ResampleItem,
} from "./resample_item.ts";

/** What stands for "not the same channel everywhere". */
const UNDECIDED = 0xffff;

/** Rows of channels in scratch. */
interface Cache {
  readonly tags: Local<"i64">;
  /** The row of channels that all source rows of an output row agree on. */
  readonly agreed: Local<"i64">;
  readonly places: Local<"i64">;
  /** Bytes of a row of channels, a multiple of 16. */
  readonly channelRow: Local<"i64">;
}

type Entry = ReturnType<typeof readEntry>;

/** A source row beside an output row. */
interface SourceRow {
  readonly logits: Local<"i64">;
  readonly channels: Local<"i64">;
  /** Says which row is in its place; never 0, which is an empty place. */
  readonly tag: Local<"i32">;
  readonly tagAt: Local<"i64">;
}

function labelKernel(kind: "argmax" | "regions", targetBytes: 1 | 2): Kernel {
  const name = `resample_${kind}_u${targetBytes * 8}`;
  const decide = kind === "argmax" ? argmax : regions;
  return {
    name,
    emit: (m) => {
      const classifyRow = m.once(`volume: classify ${kind}`, () => emitClassifyRow(m, decide));
      m.kernel(name, (f, params, item, scratch) => {
        const job = readItem(f, params);
        const cache = emptyCache(f, job, scratch);
        const onPlane = (plane: Local<"i32">) => readEntry(f, job.planeEntries, plane);
        eachOutputRow(f, job, item, targetBytes, onPlane, (outRow, target, plane) => {
          const row = readEntry(f, job.rowEntries, outRow);
          const sources = sourceRows(f, job, cache, plane, row);
          classify(f, job, sources, classifyRow);
          agree(f, cache, sources);
          writeRow(f, job, cache.agreed, target, targetBytes, (a, b, weights, label) => {
            const load = interpolation(f, job, sources, { plane, row, weights, columns: [a, b] });
            const voxel = {
              channels: job.p.channels,
              voxelBytes: job.voxelBytes,
              from: scratch,
              keep: true,
              lastBlock: f.local("i64", i64.sub(job.voxelBytes, 16)),
              tail: f.local("v128", v128.load(job.p.tables)),
            };
            f.if(
              plane.mixed,
              () => decide(f, { ...voxel, load: load(true) }, label),
              () => decide(f, { ...voxel, load: load(false) }, label),
            );
          });
        });
      });
    },
  };
}

/** Scratch: the voxel at work, tags, the agreed row, the places. */
function emptyCache(f: FunctionBuilder, { p, voxelBytes }: ResampleItem, scratch: Local<"i64">): Cache {
  const tags = f.local("i64", i64.add(scratch, voxelBytes));
  const tagBytes = f.local("i64", distance(p.cacheRows, 8));
  const agreed = f.local("i64", i64.add(tags, tagBytes));
  const channelRow = f.local("i64", i64.and(i64.add(distance(p.ringColumns, 2), 15), -16));
  f.zeroBytes(tags, tagBytes);
  return { tags, agreed, places: f.local("i64", i64.add(agreed, channelRow)), channelRow };
}

/** (Near, far plane) x (near, far row); equal ones where nothing is mixed. */
function sourceRows(f: FunctionBuilder, job: ResampleItem, cache: Cache, plane: Entry, row: Entry): SourceRow[] {
  const { p } = job;
  return plane.sources.flatMap((s) => {
    const sourcePlane = f.local("i64", i64.add(p.logits, distance(i32.remU(s, p.ringPlanes), job.planeBytes)));
    return row.sources.map((u) => {
      const rowPlace = i32.shl(i32.and(u, i32.sub(p.cacheRows, 1)), 1);
      const place = f.local("i32", i32.or(rowPlace, i32.and(s, 1)));
      return {
        logits: f.local("i64", i64.add(sourcePlane, distance(u, job.rowBytes))),
        channels: f.local("i64", i64.add(cache.places, distance(place, cache.channelRow))),
        tag: f.local("i32", i32.add(i32.add(i32.mul(s, p.ringRows), u), 1)),
        tagAt: f.local("i64", i64.add(cache.tags, distance(place, 4))),
      };
    });
  });
}

/** Classifies the source rows that are not in their places. */
function classify(f: FunctionBuilder, { p }: ResampleItem, sources: SourceRow[], classifyRow: FunctionReference): void {
  for (const { logits, channels, tag, tagAt } of sources) {
    f.if(i32.ne(i32.load(tagAt), tag), () => {
      f.call(classifyRow, channels, logits, p.ringColumns, p.tables, p.padded, p.channels, p.channelStride);
      f.storeI32(tagAt, tag);
    });
  }
}

/** Column by column the channel of all source rows, or {@link UNDECIDED}. */
function agree(f: FunctionBuilder, { agreed, channelRow }: Cache, sources: readonly SourceRow[]): void {
  // A later row may have taken an earlier one's place: then nothing is known.
  const lost = sources.map(({ tag, tagAt }) => i32.ne(i32.load(tagAt), tag)).reduce((x, y) => i32.or(x, y));
  const doubt = f.local("v128", i32x4.splat(i32.sub(0, lost)));
  const at = f.local("i64", 0);
  const channels = f.local("v128");
  const [first, ...others] = sources.map((source) => source.channels);
  walk(f, at, channelRow, 16, () => {
    f.set(channels, v128.load(i64.add(first, at)));
    const differs = others
      .map((other) => v128.not(i16x8Equal(channels, v128.load(i64.add(other, at)))))
      .reduce((x, y) => v128.or(x, y), doubt as V128);
    f.storeV128(i64.add(agreed, at), v128.or(channels, differs));
  });
}

function i16x8Equal(x: V128, y: V128): V128 {
  return { type: "v128", code: [x.code, y.code, simd(0x2d)] };
}

/** Writes a row of labels; `interpolated` finds the channel where the agreed ones of the columns differ. */
function writeRow(
  f: FunctionBuilder,
  { p, columnEntries, values }: ResampleItem,
  agreed: Local<"i64">,
  target: Local<"i64">,
  targetBytes: 1 | 2,
  interpolated: (a: Local<"i32">, b: Local<"i32">, weights: readonly V128[], channel: Local<"i32">) => void,
): void {
  const step = f.local("i64", distance(p.columnStride, targetBytes));
  const entry = f.local("i64", columnEntries);
  const [a, b, channel] = f.locals("i32", 3);
  const weights = [f.local("v128"), f.local("v128")];
  f.countdown(p.outColumns, () => {
    f.set(a, i32.load(entry));
    f.set(b, i32.load(entry, 4));
    f.set(channel, i32.load16u(i64.add(agreed, distance(a, 2))));
    const other = i32.load16u(i64.add(agreed, distance(b, 2)));
    f.if(i32.or(i32.ne(channel, other), i32.eq(channel, UNDECIDED)), () => {
      weights.forEach((weight, side) => f.set(weight, v128.load32Splat(entry, 8 + side * 4)));
      interpolated(a, b, weights, channel);
    });
    const value = i32.load(i64.add(values, distance(channel, 4)));
    if (targetBytes === 1) f.storeI32Low8(target, value);
    else f.storeI32Low16(target, value);
    f.add(target, step);
    f.add(entry, ENTRY_BYTES);
  });
}

/** Where an output voxel lies between source planes, rows and columns. */
interface Position {
  readonly plane: Entry;
  readonly row: Entry;
  readonly columns: readonly Local<"i32">[];
  readonly weights: readonly V128[];
}

/** Loads blocks of the interpolated logits: planes first, then rows, then columns. */
function interpolation(f: FunctionBuilder, job: ResampleItem, sources: readonly SourceRow[], position: Position) {
  const { plane, row, columns, weights } = position;
  const offsets = columns.map((column) => f.local("i64", distance(column, job.voxelStep)));
  const pointers = sources.map(({ logits }) => offsets.map((offset) => f.local("i64", i64.add(logits, offset))));
  return (planesMixed: boolean) => (block: Local<"i64">, offset = 0): V128 => {
    const value = (source: number, side: number) => v128.load(i64.add(pointers[source][side], block), offset);
    const acrossPlanes = (u: number, side: number) =>
      planesMixed ? mix(value(u, side), value(2 + u, side), plane.weights[0], plane.weights[1]) : value(u, side);
    const acrossRows = (side: number) =>
      mix(acrossPlanes(0, side), acrossPlanes(1, side), row.weights[0], row.weights[1]);
    return mix(acrossRows(0), acrossRows(1), weights[0], weights[1]);
  };
}

export const LABEL_KERNELS: readonly Kernel[] = [
  labelKernel("argmax", 1),
  labelKernel("argmax", 2),
  labelKernel("regions", 1),
  labelKernel("regions", 2),
];
