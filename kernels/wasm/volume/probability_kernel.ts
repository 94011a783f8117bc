/**
 * Probabilities of resampled logits: the separable form. An item walks a block of output rows through its planes. Two source rows mixed along
 * the planes and one mixed along the rows lie in scratch; where a fraction is 0 the pointer goes to the source itself, so equal grids
 * are read straight from the ring.
 */
import { f32, f32x4, i32, i64, type V128, v128 } from "../emit/expression.ts";
import type { FunctionBuilder, FunctionReference, Kernel, Local, ModuleBuilder } from "../emit/module_builder.ts";
import { distance, walk } from "../elementwise/simd.ts";
import { setExpOfNegative } from "./exp.ts";
import { ENTRY_BYTES } from "./resample.ts";
import { eachOutputRow, mix, readItem, type ResampleItem, spreadLargest } from "./resample_item.ts";

/** An item, and its scratch: two rows, one row, then what the columns need. */
interface Job extends ResampleItem {
  /** Byte offset of a voxel's last block of four channels. */
  readonly lastBlock: Local<"i64">;
  /** The most that the last block may be: -Infinity behind the last channel. */
  readonly tail: Local<"v128">;
  readonly scratch: Local<"i64">;
  /** Bytes of a row in scratch, whole blocks. */
  readonly mixedRowBytes: Local<"i64">;
  readonly rowMix: Local<"i64">;
  readonly columnScratch: Local<"i64">;
}

/** Finishes an output row from its logits, mixed along planes and rows; `target` is its first output. */
type FinishRow = (f: FunctionBuilder, job: Job, row: Local<"i64">, target: Local<"i64">) => void;

function resampleKernel(name: string, finishRow: FinishRow): Kernel {
  return {
    name,
    emit: (m) => {
      const mixRows = m.once("volume: mix rows", () => emitMixRows(m));
      m.kernel(name, (f, params, item, scratch) => {
        const job = readJob(f, params, scratch);
        const row = f.local("i64");
        const onPlane = (plane: Local<"i32">) => rowFinder(f, job, mixRows, plane);
        eachOutputRow(f, job, item, 4, onPlane, (outRow, target, findRow) => {
          findRow(outRow, row);
          finishRow(f, job, row, target);
        });
      });
    },
  };
}

function readJob(f: FunctionBuilder, params: Local<"i64">, scratch: Local<"i64">): Job {
  const item = readItem(f, params);
  const mixedRowBytes = f.local("i64", i64.and(i64.add(item.rowBytes, 15), -16));
  return {
    ...item,
    lastBlock: f.local("i64", i64.sub(item.voxelBytes, 16)),
    tail: f.local("v128", v128.load(item.p.tables)),
    scratch,
    mixedRowBytes,
    rowMix: f.local("i64", i64.add(scratch, i64.shl(mixedRowBytes, 1))),
    columnScratch: f.local("i64", i64.add(scratch, i64.mul(mixedRowBytes, 3))),
  };
}

/** Sets a pointer to an output row's logits, mixed along planes and rows; a source row is mixed along planes once an item and plane. */
function rowFinder(f: FunctionBuilder, job: Job, mixRows: FunctionReference, plane: Local<"i32">) {
  const { p, rowBytes } = job;
  const planeEntry = f.local("i64", i64.add(job.planeEntries, distance(plane, ENTRY_BYTES)));
  const sourcePlane = (offset: number) =>
    f.local("i64", i64.add(p.logits, distance(i32.remU(i32.load(planeEntry, offset), p.ringPlanes), job.planeBytes)));
  const [near, far] = [sourcePlane(0), sourcePlane(4)];
  const planeFraction = f.local("f32", f32.load(planeEntry, 12));
  // Rows of the source that the two buffers hold.
  const held = [f.local("i32", -1), f.local("i32", -1)];
  const buffers = [f.local("i64", job.scratch), f.local("i64", i64.add(job.scratch, job.mixedRowBytes))];
  const other = f.local("i64");
  const swapped = f.local("i64");
  const swappedRow = f.local("i32");
  const fill = (which: number, row: Local<"i32">) =>
    f.if(i32.ne(held[which], row), () => {
      const at = f.local("i64", distance(row, rowBytes));
      const weight = f32.load(planeEntry, 8);
      f.call(mixRows, buffers[which], i64.add(near, at), i64.add(far, at), weight, planeFraction, rowBytes);
      f.set(held[which], row);
    });
  const mixed = f32.ne(planeFraction, 0);
  return (outRow: Local<"i32">, row: Local<"i64">) => {
    const entry = f.local("i64", i64.add(job.rowEntries, distance(outRow, ENTRY_BYTES)));
    const first = f.local("i32", i32.load(entry));
    const second = f.local("i32", i32.load(entry, 4));
    f.if(mixed, () => {
      // The former second row is often the next first one.
      f.if(i32.ne(held[0], first), () => {
        f.set(swapped, buffers[0]);
        f.set(buffers[0], buffers[1]);
        f.set(buffers[1], swapped);
        f.set(swappedRow, held[0]);
        f.set(held[0], held[1]);
        f.set(held[1], swappedRow);
      });
      fill(0, first);
      f.set(row, buffers[0]);
    }, () => f.set(row, i64.add(near, distance(first, rowBytes))));
    const fraction = f.local("f32", f32.load(entry, 12));
    f.if(f32.ne(fraction, 0), () => {
      f.if(mixed, () => {
        fill(1, second);
        f.set(other, buffers[1]);
      }, () => f.set(other, i64.add(near, distance(second, rowBytes))));
      f.call(mixRows, job.rowMix, row, other, f32.load(entry, 8), fraction, rowBytes);
      f.set(row, job.rowMix);
    });
  };
}

/** (to, a, b, weightA, weightB, bytes): to = a * weightA + b * weightB, in whole blocks of 16 bytes. */
function emitMixRows(m: ModuleBuilder): FunctionReference {
  return m.func(["i64", "i64", "i64", "f32", "f32", "i64"] as const, (f, to, a, b, weightA, weightB, bytes) => {
    const wa = f.local("v128", f32x4.splat(weightA));
    const wb = f.local("v128", f32x4.splat(weightB));
    const blocks = (count: number) => {
      for (let i = 0; i < count; i++) f.storeV128(to, mix(v128.load(a, i * 16), v128.load(b, i * 16), wa, wb), i * 16);
      f.add(a, count * 16);
      f.add(b, count * 16);
    };
    const end = f.local("i64", i64.add(to, bytes));
    walk(f, to, f.local("i64", i64.sub(end, 63)), 64, () => blocks(4));
    walk(f, to, end, 16, () => blocks(1));
  });
}

/** A voxel between two columns of a row (or at one): what its logits are. */
interface Voxel {
  /** Whether it lies between two columns. */
  readonly mixed: Local<"i32">;
  /** Logits of the block `at` bytes into the voxel, mixed (or not). */
  readonly mix: (at: Local<"i64">) => V128;
  readonly plain: (at: Local<"i64">) => V128;
}

/** Runs `body` for every output column. */
function eachColumn(f: FunctionBuilder, job: Job, row: Local<"i64">, body: (voxel: Voxel) => void): void {
  const entry = f.local("i64", job.columnEntries);
  const a = f.local("i64");
  const b = f.local("i64");
  const mixed = f.local("i32");
  const weightA = f.local("v128");
  const weightB = f.local("v128");
  f.countdown(job.p.outColumns, () => {
    f.set(a, i64.add(row, distance(i32.load(entry), job.voxelStep)));
    f.set(b, i64.add(row, distance(i32.load(entry, 4), job.voxelStep)));
    f.set(weightA, v128.load32Splat(entry, 8));
    f.set(weightB, v128.load32Splat(entry, 12));
    f.set(mixed, f32.ne(f32.load(entry, 12), 0));
    body({
      mixed,
      mix: (at) => mix(v128.load(i64.add(a, at)), v128.load(i64.add(b, at)), weightA, weightB),
      plain: (at) => v128.load(i64.add(a, at)),
    });
    f.add(entry, ENTRY_BYTES);
  });
}

/** Probabilities of a row in scratch, voxel by voxel, then written channel by channel. */
function probabilityRow(emitVoxel: (f: FunctionBuilder, job: Job, to: Local<"i64">) => void): FinishRow {
  return (f, job, row, target) => {
    const { voxelBytes } = job;
    const to = f.local("i64", job.columnScratch);
    const at = f.local("i64");
    eachColumn(f, job, row, (voxel) => {
      const copy = (value: (at: Local<"i64">) => V128) => {
        f.set(at, 0);
        walk(f, at, voxelBytes, 16, () => f.storeV128(i64.add(to, at), value(at)));
      };
      f.if(voxel.mixed, () => copy(voxel.mix), () => copy(voxel.plain));
      emitVoxel(f, job, to);
      f.add(to, voxelBytes);
    });
    writeChannels(f, job, target);
  };
}

/** An output row from voxels of channels to rows of voxels: blocks of four by four, then what is left over. */
function writeChannels(f: FunctionBuilder, { p, voxelBytes, columnScratch }: Job, target: Local<"i64">): void {
  const channelBytes = f.local("i64", distance(p.columnStride, 4));
  const whole = f.local("i32", i32.and(p.channels, -4));
  const from = f.local("i64");
  const start = (channel: Local<"i32">) => {
    f.set(from, i64.add(columnScratch, distance(channel, 4)));
    return f.local("i64", i64.add(target, distance(channel, channelBytes)));
  };
  const values = [0, 1, 2, 3].map(() => f.local("v128"));
  f.for(0, whole, 4, (channel) => {
    const rows = [start(channel)];
    for (let i = 1; i < 4; i++) rows.push(f.local("i64", i64.add(rows[i - 1], channelBytes)));
    f.countdown(i32.shrU(p.outColumns, 2), () => {
      for (const value of values) {
        f.set(value, v128.load(from));
        f.add(from, voxelBytes);
      }
      const [a, b, c, d] = values;
      const low = [v128.shuffle32(a, b, [0, 4, 1, 5]), v128.shuffle32(c, d, [0, 4, 1, 5])];
      const high = [v128.shuffle32(a, b, [2, 6, 3, 7]), v128.shuffle32(c, d, [2, 6, 3, 7])];
      rows.forEach((row, i) => {
        const [x, y] = i < 2 ? low : high;
        f.storeV128(row, v128.shuffle32(x, y, i % 2 === 0 ? [0, 1, 4, 5] : [2, 3, 6, 7]));
        f.add(row, 16);
      });
    });
    f.countdown(i32.and(p.outColumns, 3), () => {
      rows.forEach((row, i) => {
        f.storeF32(row, f32.load(from, i * 4));
        f.add(row, 4);
      });
      f.add(from, voxelBytes);
    });
  });
  f.for(whole, p.channels, 1, (channel) => {
    const row = start(channel);
    f.countdown(p.outColumns, () => {
      f.storeF32(row, f32.load(from));
      f.add(from, voxelBytes);
      f.add(row, 4);
    });
  });
}

/** exp(x - largest) / sum, the sum in a fixed order: lanes over the blocks, then the four lanes. */
const softmaxRow = probabilityRow((f, job, to) => {
  const at = f.local("i64", i64.add(to, job.lastBlock));
  const end = f.local("i64", i64.add(to, job.voxelBytes));
  const largest = f.local("v128", f32x4.pmin(job.tail, v128.load(at)));
  const value = f.local("v128");
  f.storeV128(at, largest);
  f.set(at, to);
  walk(f, at, end, 16, () => f.set(largest, f32x4.pmax(largest, v128.load(at))));
  spreadLargest(f, largest);
  const sum = f.local("v128", v128.const(0, 0, 0, 0));
  f.set(at, to);
  walk(f, at, end, 16, () => {
    setExpOfNegative(f, value, f32x4.sub(v128.load(at), largest));
    f.storeV128(at, value);
    f.set(sum, f32x4.add(sum, value));
  });
  f.set(sum, f32x4.add(sum, v128.shuffle32(sum, sum, [2, 3, 0, 1])));
  f.set(sum, f32x4.add(sum, v128.shuffle32(sum, sum, [1, 0, 3, 2])));
  f.set(sum, f32x4.div(v128.const(1, 1, 1, 1), sum));
  f.set(at, to);
  walk(f, at, end, 16, () => f.storeV128(at, f32x4.mul(v128.load(at), sum)));
});

/** 1 / (1 + exp(-x)); for negative x exp(x) / (1 + exp(x)), so that only exponentials of negative numbers are needed. */
const sigmoidRow = probabilityRow((f, job, to) => {
  const at = f.local("i64", to);
  const end = f.local("i64", i64.add(to, job.voxelBytes));
  const x = f.local("v128");
  const e = f.local("v128");
  const one = v128.const(1, 1, 1, 1);
  walk(f, at, end, 16, () => {
    f.set(x, v128.load(at));
    setExpOfNegative(f, e, f32x4.neg(f32x4.abs(x)));
    const numerator = v128.bitselect(e, one, f32x4.lt(x, v128.const(0, 0, 0, 0)));
    f.storeV128(at, f32x4.div(numerator, f32x4.add(one, e)));
  });
});

export const PROBABILITY_KERNELS: readonly Kernel[] = [
  resampleKernel("resample_softmax", softmaxRow),
  resampleKernel("resample_sigmoid", sigmoidRow),
];
