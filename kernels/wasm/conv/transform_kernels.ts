/** One-dimensional passes of the convolutions' transforms: streams of vectors a stride apart go in, streams come out. */
import { f32x4, type I32, i32, type I64, i64, type V128, v128 } from "../emit/expression.ts";
import type { Expr } from "../emit/expression.ts";
import type { FunctionBuilder, FunctionReference, Local, ModuleBuilder } from "../emit/module_builder.ts";
import { type Constants, emitPairedColumns, emitRows, hoistConstants } from "./linear_map.ts";
import { type AxisScheme, SCHEMES } from "./scheme.ts";

/** base + a * b, in 64 bits. */
export function addProduct(base: I64, a: I32, b: I32): Expr<"i64"> {
  return i64.add(base, i64.mul(i64.extendS(a), i64.extendS(b)));
}

/** Loads `count` vectors that lie `stride` apart from `address` on into new or given variables. */
function loadStreams(
  f: FunctionBuilder,
  address: Local<"i64">,
  stride: Expr<"i64">,
  pointer: Local<"i64">,
  values: readonly Local<"v128">[],
  change: (value: V128, k: number) => V128 = (value) => value,
): void {
  f.set(pointer, address);
  values.forEach((value, k) => {
    if (k > 0) f.add(pointer, stride);
    f.set(value, change(v128.load(pointer), k));
  });
}

/** A store to stream `row`: streams are written in order where they can be, so that addresses are sums. */
function streamStore(f: FunctionBuilder, address: Local<"i64">, stride: Expr<"i64">, pointer: Local<"i64">) {
  let last = -1;
  return (row: number, value: V128) => {
    if (last >= 0 && row === last + 1) f.add(pointer, stride);
    else f.set(pointer, row === 0 ? address : i64.add(address, i64.mul(stride, row)));
    f.storeV128(pointer, value);
    last = row;
  };
}

const vectors = (f: FunctionBuilder, count: number) => Array.from({ length: count }, () => f.local("v128"));

/**
 * (source, sourceStride, target, targetStride, vectors, repeats, sourceStep, targetStep): for each repeat, for each of `vectors`
 * consecutive 16-byte vectors, transforms the points along the strides. May be done in place.
 */
const PASS_PARAMS = ["i64", "i64", "i64", "i64", "i32", "i32", "i64", "i64"] as const;

function emitPass(m: ModuleBuilder, scheme: AxisScheme, direction: "input" | "output"): FunctionReference {
  return m.func(
    PASS_PARAMS,
    (f, source, sourceStride, target, targetStride, count, repeats, sourceStep, targetStep) => {
      const values = vectors(f, scheme.points);
      const temporaries = [f.local("v128"), f.local("v128")] as const;
      const [from, to, read, write] = [f.local("i64"), f.local("i64"), f.local("i64"), f.local("i64")];
      const body = (f: FunctionBuilder, constant: Constants) => {
        loadStreams(f, from, sourceStride, read, values);
        const store = streamStore(f, to, targetStride, write);
        if (direction === "input") emitRows(f, scheme.input, values, temporaries, constant, store);
        else emitPairedColumns(f, scheme.output, values, temporaries[0], constant, store);
      };
      const constant = hoistConstants(f, body);
      f.countdown(repeats, () => {
        f.set(from, source);
        f.set(to, target);
        f.countdown(count, () => {
          body(f, constant);
          f.add(from, 16);
          f.add(to, 16);
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
 * (source, streamStride, voxelStride, voxels, vectors, target, targetStride, norm, normStride, table): loads voxels of a row (for
 * every point along z, `streamStride` apart), applies scale, shift and slope per channel, then transforms and writes contiguously.
 * With a mask table, stream k is read at source + offsets[k] and zeroed where its mask is zero.
 */
const LOAD_PARAMS = ["i64", "i64", "i64", "i32", "i32", "i64", "i64", "i64", "i64", "i64"] as const;

function emitLoad(m: ModuleBuilder, scheme: AxisScheme, normalised: boolean, masked: boolean): FunctionReference {
  return m.func(
    LOAD_PARAMS,
    (f, source, streamStride, voxelStride, voxels, count, target, targetStride, norm, normStride, table) => {
      const values = vectors(f, scheme.points);
      const temporaries = [f.local("v128"), f.local("v128")] as const;
      const [scale, shift, slope] = vectors(f, 3);
      const [from, read, write, channel, pointer] = Array.from({ length: 5 }, () => f.local("i64"));
      const body = (f: FunctionBuilder, constant: Constants) => {
        if (normalised) {
          f.set(scale, v128.load(channel));
          f.set(pointer, i64.add(channel, normStride));
          f.set(shift, v128.load(pointer));
          f.add(pointer, normStride);
          f.set(slope, v128.load(pointer));
          f.add(channel, 16);
        }
        const change = (value: Local<"v128">, k: number) => {
          if (normalised) {
            f.set(value, f32x4.madd(value, scale, shift));
            f.set(value, f32x4.pmax(value, f32x4.mul(value, slope)));
          }
          if (masked) f.set(value, v128.and(value, v128.load(table, 16 * k)));
        };
        if (masked) {
          values.forEach((value, k) => {
            f.set(value, v128.load(i64.add(from, i64.load(table, MASK_TABLE.offsets + 8 * k))));
          });
        } else loadStreams(f, from, streamStride, read, values);
        values.forEach(change);
        emitRows(f, scheme.input, values, temporaries, constant, streamStore(f, target, targetStride, write));
      };
      const constant = hoistConstants(f, body);
      f.countdown(voxels, () => {
        f.set(from, source);
        f.set(channel, norm);
        f.countdown(count, () => {
          body(f, constant);
          f.add(from, 16);
          f.add(target, 16);
        });
        f.add(source, voxelStride);
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

/** The passes of a module; the first argument of each is the scheme's id, of `load` id * 4 + masked * 2 + normalised. */
export interface TransformFunctions {
  readonly load: FunctionReference;
  readonly input: FunctionReference;
  readonly output: FunctionReference;
}

export function transformFunctions(m: ModuleBuilder): TransformFunctions {
  return m.once("conv.transforms", () => ({
    load: emitSwitch(
      m,
      SCHEMES.flatMap((s) =>
        [[false, false], [true, false], [false, true], [true, true]].map(([norm, mask]) => emitLoad(m, s, norm, mask))
      ),
      LOAD_PARAMS,
    ),
    input: emitSwitch(m, SCHEMES.map((s) => emitPass(m, s, "input")), PASS_PARAMS),
    output: emitSwitch(m, SCHEMES.map((s) => emitPass(m, s, "output")), PASS_PARAMS),
  }));
}
