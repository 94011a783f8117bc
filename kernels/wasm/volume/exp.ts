/** The exponential function in four f32 lanes, for softmax and sigmoid. */
import { f32x4, i32x4, type V128, v128 } from "../emit/expression.ts";
import type { FunctionBuilder, Local } from "../emit/module_builder.ts";
import { shiftLanesLeft } from "../elementwise/simd.ts";

const LOG2_E = 1.4426950408889634;
/** ln 2 in two parts; the first times a small integer is exact in f32 (Cody and Waite). */
const LN2_HIGH = 0.693359375;
const LN2_LOW = -2.12194440e-4;
/** Minimax polynomial of (exp(r) - 1 - r) / r^2 on |r| <= ln 2 / 2, highest power first (Moshier, Cephes expf). */
const POLYNOMIAL = [1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 0.5];

/** Added to a small number, it leaves the nearest integer in the low bits of the sum. */
const ROUNDER = 1.5 * 2 ** 23;

/**
 * Sets `target` to exp(x) for x <= 0, relative error below 3e-7; below -86 it is exp(-86), about 4.5e-38.
 */
export function setExpOfNegative(f: FunctionBuilder, target: Local<"v128">, x: V128): void {
  const splat = (value: number) => v128.const(value, value, value, value);
  const clamped = f.local("v128", f32x4.pmax(splat(-86), x));
  const rounded = f.local("v128", f32x4.madd(clamped, splat(LOG2_E), splat(ROUNDER)));
  const n = f.local("v128", f32x4.sub(rounded, splat(ROUNDER)));
  const r = f.local("v128", f32x4.nmadd(n, splat(LN2_HIGH), clamped));
  f.set(r, f32x4.nmadd(n, splat(LN2_LOW), r));
  const p = f.local("v128", splat(POLYNOMIAL[0]));
  for (const coefficient of POLYNOMIAL.slice(1)) f.set(p, f32x4.madd(p, r, splat(coefficient)));
  f.set(p, f32x4.add(f32x4.madd(f32x4.mul(p, r), r, r), splat(1)));
  // n is added to the exponent; all other bits of the rounder are shifted out.
  f.set(target, i32x4.add(p, shiftLanesLeft(rounded, 23)));
}
