/** Logarithm, lane masks and sums across lanes, for the loss. */
import { shiftLanesLeft, shiftLanesRight } from "../elementwise/simd.ts";
import { type Expr, f32x4, type I32, i32, i32x4, type V128, v128 } from "../emit/expression.ts";
import type { FunctionBuilder, Local } from "../emit/module_builder.ts";

const splat = (value: number) => v128.const(value, value, value, value);
const splatBits = (value: number) => v128.constI32(value, value, value, value);

/** Bits of the largest f32 below sqrt(1/2), and of 1. */
const SQRT_HALF_BITS = 0x3f3504f3;
/** Minimax polynomial of (log(1 + f) - f + f^2 / 2) / f^3 for sqrt(1/2) <= 1 + f < sqrt(2), highest power first (Moshier, Cephes logf). */
const POLYNOMIAL = [
  7.0376836292e-2,
  -1.1514610310e-1,
  1.1676998740e-1,
  -1.2420140846e-1,
  1.4249322787e-1,
  -1.6668057665e-1,
  2.0000714765e-1,
  -2.4999993993e-1,
  3.3333331174e-1,
];
/** ln 2 in two parts (Cody and Waite). */
const LN2_HIGH = 0.693359375;
const LN2_LOW = -2.12194440e-4;

/** Sets `target` to log(x) for finite normal x > 0; absolute error below 1e-7 near 1, relative below 2e-7 elsewhere. */
export function setLog(f: FunctionBuilder, target: Local<"v128">, x: V128): void {
  const bits = f.local("v128", x);
  const exponent = f.local("v128", shiftLanesRight(i32x4.sub(bits, splatBits(SQRT_HALF_BITS)), 23));
  const fraction = f.local("v128", f32x4.sub(i32x4.sub(bits, shiftLanesLeft(exponent, 23)), splat(1)));
  const e = f.local("v128", f32x4.convertI32S(exponent));
  const square = f.local("v128", f32x4.mul(fraction, fraction));
  const p = f.local("v128", splat(POLYNOMIAL[0]));
  for (const coefficient of POLYNOMIAL.slice(1)) f.set(p, f32x4.madd(p, fraction, splat(coefficient)));
  f.set(p, f32x4.mul(f32x4.mul(p, fraction), square));
  f.set(p, f32x4.madd(e, splat(LN2_LOW), p));
  f.set(p, f32x4.madd(square, splat(-0.5), p));
  f.set(target, f32x4.madd(e, splat(LN2_HIGH), f32x4.add(fraction, p)));
}

/** All bits of the lanes below `count`, none of the others. */
function lanesBelow(count: I32): V128 {
  return i32x4.gtS(i32x4.splat(count), v128.constI32(0, 1, 2, 3));
}

/** Sets every lane to the sum of all four. */
export function setLaneSum(f: FunctionBuilder, x: Local<"v128">): void {
  f.set(x, f32x4.add(x, v128.shuffle32(x, x, [2, 3, 0, 1])));
  f.set(x, f32x4.add(x, v128.shuffle32(x, x, [1, 0, 3, 2])));
}

/** Sets every lane to the largest of all four. */
export function setLaneMax(f: FunctionBuilder, x: Local<"v128">): void {
  f.set(x, f32x4.pmax(x, v128.shuffle32(x, x, [2, 3, 0, 1])));
  f.set(x, f32x4.pmax(x, v128.shuffle32(x, x, [1, 0, 3, 2])));
}

/** Lanes of a channel block that hold channels. */
export function channelMask(channels: Expr<"i32">, firstChannel: Expr<"i32">): V128 {
  return lanesBelow(i32.sub(channels, firstChannel));
}
