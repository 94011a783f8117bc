/** Idioms the elementwise and volume kernels share: a norm applied on load, loops over addresses, and lane masks as bits. */
import { type Expr, f32x4, type I32, i32, type I64, i64, simd, type V128, v128 } from "../emit/expression.ts";
import type { FunctionBuilder, Local } from "../emit/module_builder.ts";

/** The sign bit of every 32-bit lane, lane 0 lowest. */
export function laneBits(x: V128): Expr<"i32"> {
  return { type: "i32", code: [x.code, simd(0xa4)] };
}

/** Number of zeros below the lowest 1 (32 for 0). */
export function trailingZeros(x: Expr<"i32">): Expr<"i32"> {
  return { type: "i32", code: [x.code, 0x68] };
}

/** Number of zeros above the highest 1 (32 for 0). */
export function leadingZeros(x: Expr<"i32">): Expr<"i32"> {
  return { type: "i32", code: [x.code, 0x67] };
}

/** Every 32-bit lane shifted left. */
export function shiftLanesLeft(x: V128, bits: I32): V128 {
  return { type: "v128", code: [x.code, typeof bits === "number" ? i32.const(bits).code : bits.code, simd(0xab)] };
}

/** Every 32-bit lane shifted right, the sign copied. */
export function shiftLanesRight(x: V128, bits: I32): V128 {
  return { type: "v128", code: [x.code, typeof bits === "number" ? i32.const(bits).code : bits.code, simd(0xac)] };
}

/** index * unit as an address distance; the product is taken in 64 bits. */
export function distance(index: I32, unit: Expr<"i64"> | number): Expr<"i64"> {
  return i64.mul(i64.extendS(index), unit);
}

/** while (pointer < end) { body(); pointer += step; } */
export function walk(f: FunctionBuilder, pointer: Local<"i64">, end: I64, step: number, body: () => void): void {
  f.block((done) => {
    f.brIf(done, i32.eqz(i64.ltU(pointer, end)));
    f.loop((again) => {
      body();
      f.add(pointer, step);
      f.brIf(again, i64.ltU(pointer, end));
    });
  });
}

/** max(y, y * slope): a leaky ReLU for slopes of 0..1; y is read twice. */
export function leaky(y: Local<"v128">, slope: V128): V128 {
  return f32x4.pmax(y, f32x4.mul(y, slope));
}

/** Scale, shift and slope of a block of four channels, in variables. */
export interface NormBlock {
  readonly scale: Local<"v128">;
  readonly shift: Local<"v128">;
  readonly slope: Local<"v128">;
}

/** The norm of four channels from a table: `at` points to their scales, `rowBytes` is the length of a row of the table. */
export function loadNorm(f: FunctionBuilder, at: Expr<"i64">, rowBytes: Expr<"i64">): NormBlock {
  const scale = f.local("v128", v128.load(at));
  const shift = f.local("v128", v128.load(i64.add(at, rowBytes)));
  const slope = f.local("v128", v128.load(i64.add(at, i64.shl(rowBytes, 1))));
  return { scale, shift, slope };
}

/** The values at an address with the norm applied, if there is one. */
export function loadNormalised(f: FunctionBuilder, address: I64, norm: NormBlock | null): V128 {
  if (!norm) return v128.load(address);
  const y = f.local("v128", f32x4.madd(v128.load(address), norm.scale, norm.shift));
  return leaky(y, norm.slope);
}
