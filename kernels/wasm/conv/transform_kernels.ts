/** One-dimensional passes of the convolutions' transforms: streams of vectors a stride apart go in, streams come out. */
import { f32x4, type I32, i32, type I64, i64, type V128, v128 } from "../emit/expression.ts";
import type { Expr } from "../emit/expression.ts";
import type { FunctionBuilder, FunctionReference, Local, ModuleBuilder } from "../emit/module_builder.ts";
import { type Constants, emitPairedColumns, emitRows, hoistConstants } from "./linear_map.ts";
import { type AxisScheme, GRADIENT_SCHEMES, type Matrix, SCHEMES, transposed } from "../../operators/conv/scheme.ts";

/** base + a * b, in 64 bits. */
export function addProduct(base: I64, a: I32, b: I32): Expr<"i64"> {
  return i64.add(base, i64.mul(i64.extendS(a), i64.extendS(b)));
}

/** Vectors a turn of an inner loop does: V8 checks a 64-bit address once for all constant offsets from it. */
const UNROLL = 4;

/** Variables for the addresses of streams, and how they are set to `stride` apart. */
function streamPointers(f: FunctionBuilder, count: number) {
  const pointers = Array.from({ length: count }, () => f.local("i64"));
  return {
    pointers,
    set: (start: Local<"i64">, stride: Expr<"i64">) =>
      pointers.forEach((pointer, k) => f.set(pointer, k === 0 ? start : i64.add(pointers[k - 1], stride))),
  };
}

const vectors = (f: FunctionBuilder, count: number) => Array.from({ length: count }, () => f.local("v128"));

/** Emits `body(n)` for `count` vectors, UNROLL at a time and then one by one: `body` does n vectors and moves on. */
function unrolled(f: FunctionBuilder, count: Local<"i32">, body: (n: number) => void): void {
  f.countdown(i32.shrU(count, 2), () => body(UNROLL));
  f.countdown(i32.and(count, UNROLL - 1), () => body(1));
}

/**
 * (source, sourceStride, target, targetStride, vectors, repeats, sourceStep, targetStep): for each repeat, for each of `vectors`
 * consecutive 16-byte vectors, transforms the points along the strides. May be done in place.
 */
const PASS_PARAMS = ["i64", "i64", "i64", "i64", "i32", "i32", "i64", "i64"] as const;

function emitPass(m: ModuleBuilder, matrix: Matrix, pairs: "rows" | "columns" = "rows"): FunctionReference {
  return m.func(
    PASS_PARAMS,
    (f, source, sourceStride, target, targetStride, count, repeats, sourceStep, targetStep) => {
      const values = vectors(f, matrix[0].length);
      const temporaries = [f.local("v128"), f.local("v128")] as const;
      const [from, to] = f.locals("i64", 2);
      const reads = streamPointers(f, matrix[0].length);
      const writes = streamPointers(f, matrix.length);
      const transform = (f: FunctionBuilder, constant: Constants, offset: number) => {
        values.forEach((value, k) => f.set(value, v128.load(reads.pointers[k], offset)));
        const store = (row: number, value: V128) => f.storeV128(writes.pointers[row], value, offset);
        if (pairs === "columns") emitPairedColumns(f, matrix, values, temporaries[0], constant, store);
        else emitRows(f, matrix, values, temporaries, constant, store);
      };
      const constant = hoistConstants(f, (f, constant) => transform(f, constant, 0));
      f.countdown(repeats, () => {
        f.set(from, source);
        f.set(to, target);
        unrolled(f, count, (n) => {
          reads.set(from, sourceStride);
          writes.set(to, targetStride);
          for (let i = 0; i < n; i++) transform(f, constant, 16 * i);
          f.add(from, 16 * n);
          f.add(to, 16 * n);
        });
        f.add(source, sourceStep);
        f.add(target, targetStep);
      });
    },
  );
}

/** Scratch table of {@link RowLoader}s that must not read some streams: masks, then distances from the source, one a stream. */
export const MASK_TABLE = { offsets: 16 * 16, bytes: 16 * 16 + 16 * 8 } as const;

/**
 * (source, streamStride, voxelStride, voxels, vectors, target, targetStride, targetGap, norm, normStride, table): loads voxels of a
 * row (for every point along z, `streamStride` apart), applies scale, shift and slope per channel, then transforms and writes voxel
 * after voxel with `targetGap` bytes between them.
 * With a mask table, stream k is read at source + offsets[k] and zeroed where its mask is zero.
 */
const LOAD_PARAMS = ["i64", "i64", "i64", "i32", "i32", "i64", "i64", "i64", "i64", "i64", "i64"] as const;

function emitLoad(m: ModuleBuilder, matrix: Matrix, normalised: boolean, masked: boolean): FunctionReference {
  return m.func(
    LOAD_PARAMS,
    (f, source, streamStride, voxelStride, voxels, count, target, targetStride, gap, norm, normStride, table) => {
      const values = vectors(f, matrix[0].length);
      const temporaries = [f.local("v128"), f.local("v128")] as const;
      const [scale, shift, slope] = vectors(f, 3);
      const [from, channel, shifts, slopes] = Array.from({ length: 4 }, () => f.local("i64"));
      const reads = streamPointers(f, matrix[0].length);
      const writes = streamPointers(f, matrix.length);
      const transform = (f: FunctionBuilder, constant: Constants, offset: number) => {
        if (normalised) {
          f.set(scale, v128.load(channel, offset));
          f.set(shift, v128.load(shifts, offset));
          f.set(slope, v128.load(slopes, offset));
        }
        values.forEach((value, k) => {
          f.set(value, v128.load(reads.pointers[k], offset));
          if (normalised) {
            f.set(value, f32x4.madd(value, scale, shift));
            f.set(value, f32x4.pmax(value, f32x4.mul(value, slope)));
          }
          if (masked) f.set(value, v128.and(value, v128.load(table, 16 * k)));
        });
        const store = (row: number, value: V128) => f.storeV128(writes.pointers[row], value, offset);
        emitRows(f, matrix, values, temporaries, constant, store);
      };
      const constant = hoistConstants(f, (f, constant) => transform(f, constant, 0));
      f.countdown(voxels, () => {
        f.set(from, source);
        f.set(channel, norm);
        unrolled(f, count, (n) => {
          if (masked) {
            reads.pointers.forEach((pointer, k) => {
              f.set(pointer, i64.add(from, i64.load(table, MASK_TABLE.offsets + 8 * k)));
            });
          } else reads.set(from, streamStride);
          writes.set(target, targetStride);
          if (normalised) {
            f.set(shifts, i64.add(channel, normStride));
            f.set(slopes, i64.add(shifts, normStride));
          }
          for (let i = 0; i < n; i++) transform(f, constant, 16 * i);
          f.add(from, 16 * n);
          f.add(target, 16 * n);
          f.add(channel, 16 * n);
        });
        f.add(source, voxelStride);
        f.set(target, i64.add(target, gap));
      });
    },
  );
}

/** Emits a call of functions[selector]. */
function emitSwitch(
  m: ModuleBuilder,
  functions: readonly FunctionReference[],
  params: readonly ("i32" | "i64")[],
): FunctionReference {
  return m.func<readonly ["i32", ...("i32" | "i64")[]]>(["i32", ...params], (f, selector, ...args) => {
    functions.forEach((target, i) => {
      f.if(i32.eq(selector, i), () => {
        f.call(target, ...args);
        f.return();
      });
    });
  });
}

/**
 * The passes of a module; the first argument of each is the scheme's id, of `load` id * 4 + masked * 2 + normalised, of `loadGradient`
 * id * 2 + masked.
 */
export interface TransformFunctions {
  readonly load: FunctionReference;
  readonly input: FunctionReference;
  readonly output: FunctionReference;
  /** Of weights: taps in, transformed weights out; not in place. */
  readonly weight: FunctionReference;
  /** Of gradients of outputs: outputs in, points out. */
  readonly loadGradient: FunctionReference;
  readonly outputGradient: FunctionReference;
  /** Of gradients of transformed weights: those in, taps out. */
  readonly weightGradient: FunctionReference;
}

export function transformFunctions(m: ModuleBuilder): TransformFunctions {
  const passes = (schemes: readonly AxisScheme[], matrixOf: (s: AxisScheme) => Matrix, pairs?: "rows" | "columns") =>
    emitSwitch(m, schemes.map((s) => emitPass(m, matrixOf(s), pairs)), PASS_PARAMS);
  const all = [...SCHEMES, ...GRADIENT_SCHEMES];
  return m.once("conv.transforms", () => ({
    load: emitSwitch(
      m,
      all.flatMap((s) =>
        [[false, false], [true, false], [false, true], [true, true]].map(([norm, mask]) =>
          emitLoad(m, s.input, norm, mask)
        )
      ),
      LOAD_PARAMS,
    ),
    input: passes(all, (s) => s.input),
    output: passes(all, (s) => s.output, "columns"),
    weight: passes(all, (s) => s.weight),
    loadGradient: emitSwitch(
      m,
      SCHEMES.flatMap((s) => [false, true].map((mask) => emitLoad(m, transposed(s.output), false, mask))),
      LOAD_PARAMS,
    ),
    outputGradient: passes(SCHEMES, (s) => transposed(s.output)),
    weightGradient: passes(SCHEMES, (s) => transposed(s.weight), "columns"),
  }));
}
