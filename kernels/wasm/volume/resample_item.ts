/**
 * Deciding a voxel's channel from its logits, four channels at a time, and mixing logits: what the kernels behind
 * {@link ./resample.ts} share.
 */
import { distance, laneBits, leadingZeros, trailingZeros, walk } from "../elementwise/simd.ts";
import { f32, f32x4, i32, i64, type V128, v128 } from "../emit/expression.ts";
import type { FunctionBuilder, FunctionReference, Local, ModuleBuilder, ParamLocals } from "../emit/module_builder.ts";
import { ENTRY_BYTES, RESAMPLE_FIELDS, TAIL_BYTES } from "./resample.ts";

/** Sets the channel that decides a voxel, from its blocks of four channels. */
export type Decide = (f: FunctionBuilder, voxel: Blocks, channel: Local<"i32">) => void;

/** The blocks of four channels of a voxel. */
export interface Blocks {
  readonly channels: Local<"i32">;
  readonly voxelBytes: Local<"i64">;
  /** Byte offset of the last block. */
  readonly lastBlock: Local<"i64">;
  /** The most that the last block may be: -Infinity behind the last channel. */
  readonly tail: Local<"v128">;
  /** The block `at + offset` bytes into the voxel. */
  readonly load: (at: Local<"i64">, offset?: number) => V128;
  /** Where the voxel lies in memory, or where what was loaded has to be kept for a second look. */
  readonly from: Local<"i64">;
  readonly keep: boolean;
}

/** All lanes become the largest. */
export function spreadLargest(f: FunctionBuilder, x: Local<"v128">): void {
  f.set(x, f32x4.pmax(x, v128.shuffle32(x, x, [2, 3, 0, 1])));
  f.set(x, f32x4.pmax(x, v128.shuffle32(x, x, [1, 0, 3, 2])));
}

/** The largest logit first, then the first channel that equals it: mostly in the first block, cheaper than carrying indices along. */
export const argmax: Decide = (f, { voxelBytes, lastBlock, tail, load, from, keep }, channel) => {
  const bits = f.local("i32");
  const at = f.local("i64");
  const value = f.local("v128");
  const largest = f.local("v128", f32x4.pmin(tail, load(lastBlock)));
  if (keep) f.storeV128(i64.add(from, lastBlock), largest);
  f.set(at, 0);
  const blocks = (count: number) => {
    for (let i = 0; i < count; i++) {
      if (keep) {
        f.set(value, load(at, i * 16));
        f.storeV128(i64.add(from, at), value, i * 16);
        f.set(largest, f32x4.pmax(largest, value));
      } else f.set(largest, f32x4.pmax(largest, load(at, i * 16)));
    }
  };
  const unrolled = keep ? 2 : 4;
  walk(f, at, f.local("i64", i64.and(lastBlock, -16 * unrolled)), 16 * unrolled, () => blocks(unrolled));
  walk(f, at, lastBlock, 16, () => blocks(1));
  spreadLargest(f, largest);
  // What lies behind the last channel comes after it, so an equal number there never is the first.
  f.set(channel, 0);
  f.set(at, 0);
  f.block((found) => {
    walk(f, at, voxelBytes, 16, () => {
      f.set(bits, laneBits(f32x4.eq(v128.load(i64.add(from, at)), largest)));
      f.if(bits, () => {
        f.set(channel, i32.add(i32.shrU(i32.wrap(at), 2), trailingZeros(bits)));
        f.br(found);
      });
    });
  });
};

/** The last channel above 0; the number of channels where none is. */
export const regions: Decide = (f, { channels, lastBlock, tail, load }, channel) => {
  const at = f.local("i64", 0);
  const bits = f.local("i32");
  const look = (value: V128) => {
    f.set(bits, laneBits(f32x4.gt(value, v128.const(0, 0, 0, 0))));
    f.if(bits, () => f.set(channel, i32.sub(i32.add(i32.shrU(i32.wrap(at), 2), 31), leadingZeros(bits))));
  };
  f.set(channel, channels);
  walk(f, at, lastBlock, 16, () => look(load(at)));
  look(f32x4.pmin(tail, load(at)));
};

/** (to, from, columns, packed tables, padded, channels, channel stride): u16 channel of every voxel of a row of logits. */
export function emitClassifyRow(m: ModuleBuilder, decide: Decide): FunctionReference {
  const types = ["i64", "i64", "i32", "i64", "i32", "i32", "i32"] as const;
  return m.func(types, (f, to, from, columns, tables, padded, channels, channelStride) => {
    const voxelBytes = f.local("i64", distance(padded, 4));
    const step = f.local("i64", distance(channelStride, 4));
    const blocks: Blocks = {
      channels,
      voxelBytes,
      lastBlock: f.local("i64", i64.sub(voxelBytes, 16)),
      tail: f.local("v128", v128.load(tables)),
      load: (at, offset = 0) => v128.load(i64.add(from, at), offset),
      from,
      keep: false,
    };
    const channel = f.local("i32");
    f.countdown(columns, () => {
      decide(f, blocks, channel);
      f.storeI32Low16(to, channel);
      f.add(to, 2);
      f.add(from, step);
    });
  });
}

/** Two products and a sum, each rounded: the same on every processor. */
export function mix(a: V128, b: V128, weightA: V128, weightB: V128): V128 {
  return f32x4.add(f32x4.mul(a, weightA), f32x4.mul(b, weightB));
}

/** What every item of a resampling reads first: parameters, sizes in bytes, where the tables lie. */
export interface ResampleItem {
  readonly p: ParamLocals<typeof RESAMPLE_FIELDS>;
  /** Of a voxel's blocks of four channels. */
  readonly voxelBytes: Local<"i64">;
  /** From voxel to voxel, row to row, plane to plane of the ring. */
  readonly voxelStep: Local<"i64">;
  readonly rowBytes: Local<"i64">;
  readonly planeBytes: Local<"i64">;
  readonly planeEntries: Local<"i64">;
  readonly rowEntries: Local<"i64">;
  readonly columnEntries: Local<"i64">;
  /** Label values, behind the tables. */
  readonly values: Local<"i64">;
}

export function readItem(f: FunctionBuilder, params: Local<"i64">): ResampleItem {
  const p = f.readParams(params, RESAMPLE_FIELDS);
  const voxelBytes = f.local("i64", distance(p.padded, 4));
  const voxelStep = f.local("i64", distance(p.channelStride, 4));
  const rowBytes = f.local("i64", distance(p.ringColumns, voxelStep));
  const planeBytes = f.local("i64", distance(p.ringRows, rowBytes));
  const planeEntries = f.local("i64", i64.add(p.tables, TAIL_BYTES));
  const rowEntries = f.local("i64", i64.add(planeEntries, distance(p.outPlanes, ENTRY_BYTES)));
  const columnEntries = f.local("i64", i64.add(rowEntries, distance(p.outRows, ENTRY_BYTES)));
  const values = f.local("i64", i64.add(columnEntries, distance(p.outColumns, ENTRY_BYTES)));
  return { p, voxelBytes, voxelStep, rowBytes, planeBytes, planeEntries, rowEntries, columnEntries, values };
}

/** An item's output rows, one plane after the other. `onPlane` makes what the rows of a plane share; `onRow` gets the row's first target. */
export function eachOutputRow<T>(
  f: FunctionBuilder,
  { p }: ResampleItem,
  item: Local<"i32">,
  targetBytes: number,
  onPlane: (plane: Local<"i32">) => T,
  onRow: (row: Local<"i32">, target: Local<"i64">, ofPlane: T) => void,
): void {
  const firstRow = f.local("i32", i32.mul(i32.divU(item, p.planeItems), p.rowsPerItem));
  const endRow = f.local("i32", i32.min(f.local("i32", i32.add(firstRow, p.rowsPerItem)), p.outRows));
  const inPlanes = i32.mul(i32.remU(item, p.planeItems), p.planesPerItem);
  const firstPlane = f.local("i32", i32.add(p.from, inPlanes));
  const endPlane = f.local("i32", i32.min(f.local("i32", i32.add(firstPlane, p.planesPerItem)), p.to));
  const target = f.local("i64");
  f.for(firstPlane, endPlane, 1, (plane) => {
    const ofPlane = onPlane(plane);
    f.for(firstRow, endRow, 1, (row) => {
      const planeAt = distance(i32.sub(plane, p.targetPlane), i64.extendS(p.planeStride));
      const rowAt = distance(row, i64.extendS(p.rowStride));
      f.set(target, i64.add(p.target, i64.mul(i64.add(planeAt, rowAt), targetBytes)));
      onRow(row, target, ofPlane);
    });
  });
}

/** A table's entry: both sources, their weights in all lanes, and whether there is anything to mix. */
export function readEntry(f: FunctionBuilder, entries: Local<"i64">, index: Local<"i32">) {
  const entry = f.local("i64", i64.add(entries, distance(index, ENTRY_BYTES)));
  return {
    sources: [f.local("i32", i32.load(entry)), f.local("i32", i32.load(entry, 4))],
    weights: [f.local("v128", v128.load32Splat(entry, 8)), f.local("v128", v128.load32Splat(entry, 12))],
    mixed: f.local("i32", f32.ne(f32.load(entry, 12), 0)),
  } as const;
}
