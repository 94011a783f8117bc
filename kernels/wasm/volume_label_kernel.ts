/**
 * Labels of resampled logits. Interpolation is monotonic: where the same channel decides at all (up to eight) source voxels around an
 * output voxel, it decides there too, so nothing needs interpolating. Every source voxel is therefore classified once, which reads the
 * ring once; the output voxels between different channels, the boundaries, are interpolated channel by channel.
 * (Rounding could only make an earlier channel equal to one that is larger at every source voxel: then this is the truer answer.)
 *
 * Classified rows lie in scratch as u16 channel indices, in 2 * cacheRows places: a row's place follows from its plane and row, a tag says
 * which row it holds. Tables that need two rows of one place at once are still right, they interpolate everywhere.
 */
import { f32, f32x4, i32, i32x4, i64, simd, type V128, v128 } from "./emit/expression.ts";
import type { FunctionBuilder, FunctionReference, Kernel, Local, ModuleBuilder } from "./emit/module_builder.ts";
import { distance, laneBits, leadingZeros, trailingZeros, walk } from "./elementwise_simd.ts";
import { ENTRY_BYTES, RESAMPLE_FIELDS, TAIL_BYTES } from "./volume_resample.ts";

/** What stands for "not the same channel everywhere". */
const UNDECIDED = 0xffff;

/** Sets the channel that decides a voxel, from its blocks of four channels; `job.tail` goes to the last block. */
type Decide = (f: FunctionBuilder, job: Blocks, channel: Local<"i32">) => void;

/** The blocks of four channels of a voxel. */
interface Blocks {
  readonly channels: Local<"i32">;
  readonly voxelBytes: Local<"i64">;
  /** Byte offset of the last block. */
  readonly lastBlock: Local<"i64">;
  readonly tail: Local<"v128">;
  /** The block `at + offset` bytes into the voxel. */
  readonly load: (at: Local<"i64">, offset?: number) => V128;
  /** Where the voxel lies in memory, or where what was loaded has to be kept for a second look. */
  readonly from: Local<"i64">;
  readonly keep: boolean;
}

function i16x8Equal(x: V128, y: V128): V128 {
  return { type: "v128", code: [x.code, y.code, simd(0x2d)] };
}

/** All lanes become the largest. */
export function spreadLargest(f: FunctionBuilder, x: Local<"v128">): void {
  f.set(x, f32x4.pmax(x, v128.shuffle32(x, x, [2, 3, 0, 1])));
  f.set(x, f32x4.pmax(x, v128.shuffle32(x, x, [1, 0, 3, 2])));
}

/** The largest logit first, then the first channel that equals it: mostly in the first block, cheaper than carrying indices along. */
const argmax: Decide = (f, { voxelBytes, lastBlock, tail, load, from, keep }, channel) => {
  const bits = f.local("i32");
  const at = f.local("i64");
  const value = f.local("v128");
  const largest = f.local("v128", f32x4.add(load(lastBlock), tail));
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
  // Padding comes after the last real channel, so an equal zero there never is the first.
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
const regions: Decide = (f, { channels, lastBlock, tail, load }, channel) => {
  const at = f.local("i64", 0);
  const bits = f.local("i32");
  const look = (value: V128) => {
    f.set(bits, laneBits(f32x4.gt(value, v128.const(0, 0, 0, 0))));
    f.if(bits, () => f.set(channel, i32.sub(i32.add(i32.shrU(i32.wrap(at), 2), 31), leadingZeros(bits))));
  };
  f.set(channel, channels);
  walk(f, at, lastBlock, 16, () => look(load(at)));
  look(f32x4.add(load(at), tail));
};

/** (to, from, columns, params' tables, padded, channels): u16 channel of every voxel of a row of logits. */
function emitClassifyRow(m: ModuleBuilder, decide: Decide): FunctionReference {
  const types = ["i64", "i64", "i32", "i64", "i32", "i32"] as const;
  return m.func(types, (f, to, from, columns, tables, padded, channels) => {
    const voxelBytes = f.local("i64", distance(padded, 4));
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
      f.add(from, voxelBytes);
    });
  });
}

/** Two products and a sum, each rounded: the same on every processor. */
export function mix(a: V128, b: V128, weightA: V128, weightB: V128): V128 {
  return f32x4.add(f32x4.mul(a, weightA), f32x4.mul(b, weightB));
}

function labelKernel(kind: "argmax" | "regions", targetBytes: 1 | 2): Kernel {
  const name = `resample_${kind}_u${targetBytes * 8}`;
  const decide = kind === "argmax" ? argmax : regions;
  return {
    name,
    emit: (m) => {
      const classifyRow = m.once(`volume: classify ${kind}`, () => emitClassifyRow(m, decide));
      m.kernel(name, (f, params, item, scratch) => {
        const p = f.readParams(params, RESAMPLE_FIELDS);
        const voxelBytes = f.local("i64", distance(p.padded, 4));
        const rowBytes = f.local("i64", distance(p.ringColumns, voxelBytes));
        const planeBytes = f.local("i64", distance(p.ringRows, rowBytes));
        const planeEntries = f.local("i64", i64.add(p.tables, TAIL_BYTES));
        const rowEntries = f.local("i64", i64.add(planeEntries, distance(p.outPlanes, ENTRY_BYTES)));
        const columnEntries = f.local("i64", i64.add(rowEntries, distance(p.outRows, ENTRY_BYTES)));
        const values = f.local("i64", i64.add(columnEntries, distance(p.outColumns, ENTRY_BYTES)));
        const step = f.local("i64", distance(p.columnStride, targetBytes));

        // Scratch: the voxel at work, tags, the row of agreed channels, rows of channels.
        const tags = f.local("i64", i64.add(scratch, voxelBytes));
        const tagBytes = f.local("i64", distance(p.cacheRows, 8));
        const agreed = f.local("i64", i64.add(tags, tagBytes));
        const channelRow = f.local("i64", i64.and(i64.add(distance(p.ringColumns, 2), 15), -16));
        const cached = f.local("i64", i64.add(agreed, channelRow));
        f.zeroBytes(tags, tagBytes);

        const firstRow = f.local("i32", i32.mul(i32.divU(item, p.planeItems), p.rowsPerItem));
        const endRow = f.local("i32", i32.min(f.local("i32", i32.add(firstRow, p.rowsPerItem)), p.outRows));
        const inPlanes = i32.mul(i32.remU(item, p.planeItems), p.planesPerItem);
        const firstPlane = f.local("i32", i32.add(p.from, inPlanes));
        const endPlane = f.local("i32", i32.min(f.local("i32", i32.add(firstPlane, p.planesPerItem)), p.to));
        const [target, column, at] = [f.local("i64"), f.local("i64"), f.local("i64")];
        const [a, b, label] = [f.local("i32"), f.local("i32"), f.local("i32")];
        const [weightA, weightB] = [f.local("v128"), f.local("v128")];
        const channels = f.local("v128");

        f.for(firstPlane, endPlane, 1, (plane) => {
          const planeEntry = f.local("i64", i64.add(planeEntries, distance(plane, ENTRY_BYTES)));
          const planes = [0, 4].map((offset) => f.local("i32", i32.load(planeEntry, offset)));
          const sources = planes.map((s) =>
            f.local("i64", i64.add(p.logits, distance(i32.remU(s, p.ringPlanes), planeBytes)))
          );
          const planeWeights = [8, 12].map((offset) => f.local("v128", v128.load32Splat(planeEntry, offset)));
          const planesMixed = f.local("i32", f32.ne(f32.load(planeEntry, 12), 0));

          f.for(firstRow, endRow, 1, (outRow) => {
            const rowEntry = f.local("i64", i64.add(rowEntries, distance(outRow, ENTRY_BYTES)));
            const rows = [0, 4].map((offset) => f.local("i32", i32.load(rowEntry, offset)));
            const rowWeights = [8, 12].map((offset) => f.local("v128", v128.load32Splat(rowEntry, offset)));
            /** Source rows around the output row: (near, far plane) x (near, far row). */
            const corners = [0, 1].flatMap((i) =>
              [0, 1].map((j) => {
                const place = i32.or(
                  i32.shl(i32.and(rows[j], i32.sub(p.cacheRows, 1)), 1),
                  i32.and(planes[i], 1),
                );
                const slot = f.local("i32", place);
                return {
                  logits: f.local("i64", i64.add(sources[i], distance(rows[j], rowBytes))),
                  // Never 0, which is an empty place.
                  tag: f.local("i32", i32.add(i32.add(i32.mul(planes[i], p.ringRows), rows[j]), 1)),
                  tagAt: f.local("i64", i64.add(tags, distance(slot, 4))),
                  channels: f.local("i64", i64.add(cached, distance(slot, channelRow))),
                };
              })
            );
            for (const { logits, tag, tagAt, channels } of corners) {
              f.if(i32.ne(i32.load(tagAt), tag), () => {
                f.call(classifyRow, channels, logits, p.ringColumns, p.tables, p.padded, p.channels);
                f.storeI32(tagAt, tag);
              });
            }
            // A later corner may have taken an earlier one's place.
            const lost = corners.map(({ tag, tagAt }) => i32.ne(i32.load(tagAt), tag)).reduce((x, y) => i32.or(x, y));
            const doubt = f.local("v128", i32x4.splat(i32.sub(0, lost)));
            f.set(at, 0);
            walk(f, at, channelRow, 16, () => {
              f.set(channels, v128.load(i64.add(corners[0].channels, at)));
              const differs = corners.slice(1)
                .map((corner) => v128.not(i16x8Equal(channels, v128.load(i64.add(corner.channels, at)))))
                .reduce((x, y) => v128.or(x, y), doubt as V128);
              f.storeV128(i64.add(agreed, at), v128.or(channels, differs));
            });

            const planeAt = distance(i32.sub(plane, p.targetPlane), i64.extendS(p.planeStride));
            const rowAt = distance(outRow, i64.extendS(p.rowStride));
            f.set(target, i64.add(p.target, i64.mul(i64.add(planeAt, rowAt), targetBytes)));
            f.set(column, columnEntries);
            f.countdown(p.outColumns, () => {
              f.set(a, i32.load(column));
              f.set(b, i32.load(column, 4));
              f.set(label, i32.load16u(i64.add(agreed, distance(a, 2))));
              const other = i32.load16u(i64.add(agreed, distance(b, 2)));
              f.if(i32.or(i32.ne(label, other), i32.eq(label, UNDECIDED)), () => {
                f.set(weightA, v128.load32Splat(column, 8));
                f.set(weightB, v128.load32Splat(column, 12));
                const [toA, toB] = [a, b].map((c) => f.local("i64", distance(c, voxelBytes)));
                const pointers = corners.map(({ logits }) =>
                  [toA, toB].map((offset) => f.local("i64", i64.add(logits, offset)))
                );
                const blocks = {
                  ...{ channels: p.channels, voxelBytes, from: scratch, keep: true },
                  lastBlock: f.local("i64", i64.sub(voxelBytes, 16)),
                  tail: f.local("v128", v128.load(p.tables)),
                };
                const interpolate = (withPlanes: boolean) => (block: Local<"i64">, offset = 0) => {
                  const corner = (row: number, side: number) => {
                    const value = (i: number) => v128.load(i64.add(pointers[i * 2 + row][side], block), offset);
                    return withPlanes ? mix(value(0), value(1), planeWeights[0], planeWeights[1]) : value(0);
                  };
                  const side = (s: number) => mix(corner(0, s), corner(1, s), rowWeights[0], rowWeights[1]);
                  return mix(side(0), side(1), weightA, weightB);
                };
                f.if(
                  planesMixed,
                  () => decide(f, { ...blocks, load: interpolate(true) }, label),
                  () => decide(f, { ...blocks, load: interpolate(false) }, label),
                );
              });
              const value = i32.load(i64.add(values, distance(label, 4)));
              if (targetBytes === 1) f.storeI32Low8(target, value);
              else f.storeI32Low16(target, value);
              f.add(target, step);
              f.add(column, ENTRY_BYTES);
            });
          });
        });
      });
    },
  };
}

export const LABEL_KERNELS: readonly Kernel[] = [
  labelKernel("argmax", 1),
  labelKernel("argmax", 2),
  labelKernel("regions", 1),
  labelKernel("regions", 2),
];
