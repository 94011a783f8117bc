/** How results leave a convolution: bias added, written raw, and their statistics (count, mean, M2 per channel) gathered. */
import { f32, f32x4, type I32, i32, i64, type V128, v128 } from "../emit/expression.ts";
import type { Expr } from "../emit/expression.ts";
import type { FunctionBuilder, FunctionReference, Local, ModuleBuilder } from "../emit/module_builder.ts";

/** Bytes of scratch a channel's running statistics take: shift, sum and sum of squares, in vectors of four channels. */
export const STATISTICS_BYTES_PER_CHANNEL = 12;

export interface EpilogueFunctions {
  /** (source, sourceStride, target, targetStride, voxels, vectors, bias, accumulate): target = source + bias, + target to accumulate. */
  readonly storeRow: FunctionReference;
  /** (row, voxelStride, voxels, vectors, sums, isFirst): adds written voxels; the first voxel of the first row is the shift. */
  readonly addStatistics: FunctionReference;
  /** (sums, voxels, vectors, means, M2s): turns sums into means and M2s. */
  readonly finishStatistics: FunctionReference;
}

function emitStoreRow(m: ModuleBuilder): FunctionReference {
  const params = ["i64", "i64", "i64", "i64", "i32", "i32", "i64", "i32"] as const;
  return m.func(params, (f, source, sourceStride, target, targetStride, voxels, count, bias, accumulate) => {
    const [from, to, b] = f.locals("i64", 3);
    const rows = (value: V128) =>
      f.countdown(voxels, () => {
        f.set(from, source);
        f.set(to, target);
        f.set(b, bias);
        f.countdown(count, () => {
          f.storeV128(to, value);
          f.add(from, 16);
          f.add(to, 16);
          f.add(b, 16);
        });
        f.add(source, sourceStride);
        f.add(target, targetStride);
      });
    const sum = f32x4.add(v128.load(from), v128.load(b));
    f.if(accumulate, () => rows(f32x4.add(v128.load(to), sum)), () => rows(sum));
  });
}

/**
 * Sums of (value - shift), so that a large mean costs no digits: the shift is one of the values. Vectors of channels are the outer
 * loop, two at a time where there are two, to keep the sums in registers.
 */
function emitAddStatistics(m: ModuleBuilder): FunctionReference {
  return m.func(["i64", "i64", "i32", "i32", "i64", "i32"] as const, (f, row, stride, voxels, count, sums, isFirst) => {
    const [from, shift, sum, squares, value] = [
      f.local("i64"),
      f.local("v128"),
      f.local("v128"),
      f.local("v128"),
      f.local("v128"),
    ];
    f.countdown(count, () => {
      f.if(isFirst, () => {
        f.set(shift, v128.load(row));
        f.storeV128(sums, shift);
        f.set(sum, v128.const(0, 0, 0, 0));
        f.set(squares, v128.const(0, 0, 0, 0));
      }, () => {
        f.set(shift, v128.load(sums));
        f.set(sum, v128.load(sums, 16));
        f.set(squares, v128.load(sums, 32));
      });
      f.set(from, row);
      f.countdown(voxels, () => {
        f.set(value, f32x4.sub(v128.load(from), shift));
        f.set(sum, f32x4.add(sum, value));
        f.set(squares, f32x4.madd(value, value, squares));
        f.add(from, stride);
      });
      f.storeV128(sums, sum, 16);
      f.storeV128(sums, squares, 32);
      f.add(sums, 48);
      f.add(row, 16);
    });
  });
}

function emitFinishStatistics(m: ModuleBuilder): FunctionReference {
  return m.func(["i64", "i32", "i32", "i64", "i64"] as const, (f, sums, voxels, count, means, squares) => {
    const share = f.local("v128", f32x4.splat(f32.div(1, f32.convertI32S(voxels))));
    const [sum, mean] = f.locals("v128", 2);
    f.countdown(count, () => {
      f.set(sum, v128.load(sums, 16));
      f.set(mean, f32x4.mul(sum, share));
      f.storeV128(means, f32x4.add(v128.load(sums), mean));
      f.storeV128(squares, f32x4.pmax(v128.const(0, 0, 0, 0), f32x4.sub(v128.load(sums, 32), f32x4.mul(sum, mean))));
      f.add(sums, 48);
      f.add(means, 16);
      f.add(squares, 16);
    });
  });
}

export function epilogueFunctions(m: ModuleBuilder): EpilogueFunctions {
  return m.once("conv.epilogue", () => ({
    storeRow: emitStoreRow(m),
    addStatistics: emitAddStatistics(m),
    finishStatistics: emitFinishStatistics(m),
  }));
}

/** Parameters of a kernel that emits statistics. */
export interface StatisticsTarget {
  readonly statistics: Local<"i64">;
  readonly hasStatistics: Local<"i32">;
  /** Channels padded to four. */
  readonly outputChannels: Local<"i32">;
}

/** Emits the end of a part: count, means and M2s of channels from `firstChannel` on. */
export function emitStatisticsPart(
  f: FunctionBuilder,
  epilogue: EpilogueFunctions,
  target: StatisticsTarget,
  part: Expr<"i32">,
  firstChannel: I32,
  vectors: I32,
  sums: Local<"i64">,
  voxels: Local<"i32">,
): void {
  f.if(target.hasStatistics, () => {
    const floats = i32.add(i32.shl(target.outputChannels, 1), 1);
    const start = f.local(
      "i64",
      i64.add(target.statistics, i64.shl(i64.mul(i64.extendS(part), i64.extendS(floats)), 2)),
    );
    f.storeF32(start, f32.convertI32S(voxels));
    const means = i64.add(i64.add(start, 4), i64.shl(i64.extendS(firstChannel), 2));
    const squares = i64.add(means, i64.shl(i64.extendS(target.outputChannels), 2));
    f.call(epilogue.finishStatistics, sums, voxels, vectors, means, squares);
  });
}
