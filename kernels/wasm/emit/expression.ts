/**
 * Typed WebAssembly expressions. `i32.add(x, 4)` is a value; nothing is emitted until a statement of a {@link FunctionBuilder} uses it.
 * Wherever a scalar is expected a plain number stands for its constant. Addresses are i64 (memory64); memory offsets are immediates.
 */
import { type Code, f32Bytes, f64Bytes, signed, unsigned } from "../../../core/base/wasm_encode.ts";

export type ValueType = "i32" | "i64" | "f32" | "f64" | "v128";

/** A value of type T and the code that pushes it. */
export interface Expr<T extends ValueType> {
  readonly type: T;
  readonly code: Code;
}
export type I32 = Expr<"i32"> | number;
export type I64 = Expr<"i64"> | number;
export type F32 = Expr<"f32"> | number;
export type F64 = Expr<"f64"> | number;
export type V128 = Expr<"v128">;

type Operand<T extends ValueType> = T extends "v128" ? Expr<T> : Expr<T> | number;

const CONSTANT: Record<Exclude<ValueType, "v128">, (value: number) => Code> = {
  i32: (v) => [0x41, signed(v | 0)],
  i64: (v) => [0x42, signed(v)],
  f32: (v) => [0x43, f32Bytes(v)],
  f64: (v) => [0x44, f64Bytes(v)],
};

/** A number as a constant of the type; expressions as they are. */
export function lift<T extends ValueType>(type: T, value: Operand<T> | Expr<T> | number): Expr<T> {
  if (typeof value !== "number") return value as Expr<T>;
  if (type === "v128") throw new TypeError("A vector constant is written v128.const or f32x4.splat, not as a number");
  return { type, code: CONSTANT[type as Exclude<ValueType, "v128">](value) };
}

const unary = <A extends ValueType, R extends ValueType>(a: A, r: R, ...op: number[]) => (x: Operand<A>): Expr<R> => ({
  type: r,
  code: [lift(a, x).code, op],
});
const binary = <A extends ValueType, R extends ValueType>(a: A, r: R, ...op: number[]) =>
(
  x: Operand<A>,
  y: Operand<A>,
): Expr<R> => ({
  type: r,
  code: [lift(a, x).code, lift(a, y).code, op],
});
const loader = <R extends ValueType>(r: R, ...op: number[]) => (address: I64, offset = 0): Expr<R> => ({
  type: r,
  code: [lift("i64", address).code, op, memarg(offset)],
});
const selector = <T extends ValueType>(type: T) => (x: Operand<T>, y: Operand<T>, condition: I32): Expr<T> => ({
  type,
  code: [lift(type, x).code, lift(type, y).code, lift("i32", condition).code, type === "v128" ? [0x1c, 1, 0x7b] : 0x1b],
});

/** Alignment hint 0 (none promised) and offset. */
export function memarg(offset: number): Code {
  return [0, unsigned(offset)];
}

/** Opcode bytes of a SIMD instruction. */
export function simd(op: number): number[] {
  return [0xfd, ...unsigned(op)];
}

export const i32 = {
  const: (value: number): Expr<"i32"> => lift("i32", value),
  load: loader("i32", 0x28),
  load8s: loader("i32", 0x2c),
  load8u: loader("i32", 0x2d),
  load16s: loader("i32", 0x2e),
  load16u: loader("i32", 0x2f),
  eqz: unary("i32", "i32", 0x45),
  eq: binary("i32", "i32", 0x46),
  ne: binary("i32", "i32", 0x47),
  ltS: binary("i32", "i32", 0x48),
  ltU: binary("i32", "i32", 0x49),
  gtS: binary("i32", "i32", 0x4a),
  gtU: binary("i32", "i32", 0x4b),
  leS: binary("i32", "i32", 0x4c),
  geS: binary("i32", "i32", 0x4e),
  add: binary("i32", "i32", 0x6a),
  sub: binary("i32", "i32", 0x6b),
  mul: binary("i32", "i32", 0x6c),
  divS: binary("i32", "i32", 0x6d),
  divU: binary("i32", "i32", 0x6e),
  remS: binary("i32", "i32", 0x6f),
  remU: binary("i32", "i32", 0x70),
  and: binary("i32", "i32", 0x71),
  or: binary("i32", "i32", 0x72),
  xor: binary("i32", "i32", 0x73),
  shl: binary("i32", "i32", 0x74),
  shrS: binary("i32", "i32", 0x75),
  shrU: binary("i32", "i32", 0x76),
  wrap: unary("i64", "i32", 0xa7),
  truncF32S: unary("f32", "i32", 0xfc, 0x00),
  truncF64S: unary("f64", "i32", 0xfc, 0x02),
  reinterpretF32: unary("f32", "i32", 0xbc),
  select: selector("i32"),
  min: (x: Expr<"i32">, y: Expr<"i32"> | number): Expr<"i32"> => i32.select(x, y, i32.ltS(x, y)),
  max: (x: Expr<"i32">, y: Expr<"i32"> | number): Expr<"i32"> => i32.select(x, y, i32.gtS(x, y)),
};

export const i64 = {
  const: (value: number): Expr<"i64"> => lift("i64", value),
  load: loader("i64", 0x29),
  eqz: unary("i64", "i32", 0x50),
  eq: binary("i64", "i32", 0x51),
  ne: binary("i64", "i32", 0x52),
  ltS: binary("i64", "i32", 0x53),
  ltU: binary("i64", "i32", 0x54),
  gtS: binary("i64", "i32", 0x55),
  gtU: binary("i64", "i32", 0x56),
  add: binary("i64", "i64", 0x7c),
  sub: binary("i64", "i64", 0x7d),
  mul: binary("i64", "i64", 0x7e),
  divU: binary("i64", "i64", 0x80),
  remU: binary("i64", "i64", 0x82),
  and: binary("i64", "i64", 0x83),
  or: binary("i64", "i64", 0x84),
  shl: binary("i64", "i64", 0x86),
  shrU: binary("i64", "i64", 0x88),
  extendS: unary("i32", "i64", 0xac),
  extendU: unary("i32", "i64", 0xad),
  select: selector("i64"),
};

export const f32 = {
  const: (value: number): Expr<"f32"> => lift("f32", value),
  load: loader("f32", 0x2a),
  eq: binary("f32", "i32", 0x5b),
  ne: binary("f32", "i32", 0x5c),
  lt: binary("f32", "i32", 0x5d),
  gt: binary("f32", "i32", 0x5e),
  le: binary("f32", "i32", 0x5f),
  ge: binary("f32", "i32", 0x60),
  abs: unary("f32", "f32", 0x8b),
  neg: unary("f32", "f32", 0x8c),
  ceil: unary("f32", "f32", 0x8d),
  floor: unary("f32", "f32", 0x8e),
  trunc: unary("f32", "f32", 0x8f),
  nearest: unary("f32", "f32", 0x90),
  sqrt: unary("f32", "f32", 0x91),
  add: binary("f32", "f32", 0x92),
  sub: binary("f32", "f32", 0x93),
  mul: binary("f32", "f32", 0x94),
  div: binary("f32", "f32", 0x95),
  min: binary("f32", "f32", 0x96),
  max: binary("f32", "f32", 0x97),
  convertI32S: unary("i32", "f32", 0xb2),
  convertI32U: unary("i32", "f32", 0xb3),
  demote: unary("f64", "f32", 0xb6),
  reinterpretI32: unary("i32", "f32", 0xbe),
  select: selector("f32"),
};

export const f64 = {
  const: (value: number): Expr<"f64"> => lift("f64", value),
  load: loader("f64", 0x2b),
  eq: binary("f64", "i32", 0x61),
  lt: binary("f64", "i32", 0x63),
  gt: binary("f64", "i32", 0x64),
  abs: unary("f64", "f64", 0x99),
  neg: unary("f64", "f64", 0x9a),
  floor: unary("f64", "f64", 0x9c),
  nearest: unary("f64", "f64", 0x9e),
  sqrt: unary("f64", "f64", 0x9f),
  add: binary("f64", "f64", 0xa0),
  sub: binary("f64", "f64", 0xa1),
  mul: binary("f64", "f64", 0xa2),
  div: binary("f64", "f64", 0xa3),
  min: binary("f64", "f64", 0xa4),
  max: binary("f64", "f64", 0xa5),
  convertI32S: unary("i32", "f64", 0xb7),
  promote: unary("f32", "f64", 0xbb),
  select: selector("f64"),
};

const vector = (op: number) => binary("v128", "v128", ...simd(op));
const vectorUnary = (op: number) => unary("v128", "v128", ...simd(op));
const ternary = (op: number) => (x: V128, y: V128, z: V128): V128 => ({
  type: "v128",
  code: [x.code, y.code, z.code, simd(op)],
});

export const v128 = {
  /** Four f32 lanes. */
  const: (a: number, b: number, c: number, d: number): V128 => ({
    type: "v128",
    code: [simd(12), f32Bytes(a), f32Bytes(b), f32Bytes(c), f32Bytes(d)],
  }),
  /** Four 32-bit patterns, for masks. */
  constI32: (a: number, b: number, c: number, d: number): V128 => ({
    type: "v128",
    code: [simd(12), [...new Uint8Array(Int32Array.of(a, b, c, d).buffer)]],
  }),
  load: loader("v128", ...simd(0)),
  load32Splat: loader("v128", ...simd(9)),
  /** The f32 in lane 0, zeros above. */
  load32Zero: loader("v128", ...simd(0x5c)),
  load64Zero: loader("v128", ...simd(0x5d)),
  load32Lane: (address: I64, into: V128, lane: number, offset = 0): V128 => ({
    type: "v128",
    code: [lift("i64", address).code, into.code, simd(0x56), memarg(offset), lane],
  }),
  not: vectorUnary(0x4d),
  and: vector(0x4e),
  andNot: vector(0x4f),
  or: vector(0x50),
  xor: vector(0x51),
  /** Bits of x where the mask is 1, else of y. */
  bitselect: ternary(0x52),
  anyTrue: unary("v128", "i32", ...simd(0x53)),
  /** Byte shuffle of the 32 bytes of x and y. */
  shuffle: (x: V128, y: V128, lanes: readonly number[]): V128 => ({
    type: "v128",
    code: [x.code, y.code, simd(13), [...lanes]],
  }),
  /** Shuffle in units of 32 bits: lanes 0-3 of x, 4-7 of y. */
  shuffle32: (x: V128, y: V128, lanes: readonly [number, number, number, number]): V128 =>
    v128.shuffle(x, y, lanes.flatMap((lane) => [0, 1, 2, 3].map((byte) => lane * 4 + byte))),
  select: selector("v128"),
};

export const f32x4 = {
  splat: unary("f32", "v128", ...simd(0x13)),
  extract: (x: V128, lane: number): Expr<"f32"> => ({ type: "f32", code: [x.code, simd(0x1f), lane] }),
  replace: (x: V128, lane: number, value: F32): V128 => ({
    type: "v128",
    code: [x.code, lift("f32", value).code, simd(0x20), lane],
  }),
  eq: vector(0x41),
  ne: vector(0x42),
  lt: vector(0x43),
  gt: vector(0x44),
  le: vector(0x45),
  ge: vector(0x46),
  abs: vectorUnary(0xe0),
  neg: vectorUnary(0xe1),
  sqrt: vectorUnary(0xe3),
  ceil: vectorUnary(0x67),
  floor: vectorUnary(0x68),
  trunc: vectorUnary(0x69),
  nearest: vectorUnary(0x6a),
  add: vector(0xe4),
  sub: vector(0xe5),
  mul: vector(0xe6),
  div: vector(0xe7),
  min: vector(0xe8),
  max: vector(0xe9),
  /** y < x ? y : x: one instruction, unlike min. */
  pmin: vector(0xea),
  /** x < y ? y : x: one instruction, unlike max. */
  pmax: vector(0xeb),
  /** x * y + z, fused where the processor can. */
  madd: ternary(0x105),
  /** -(x * y) + z. */
  nmadd: ternary(0x106),
  convertI32S: vectorUnary(0xfa),
  demoteF64x2Zero: vectorUnary(0x5e),
};

export const f64x2 = {
  splat: unary("f64", "v128", ...simd(0x14)),
  extract: (x: V128, lane: number): Expr<"f64"> => ({ type: "f64", code: [x.code, simd(0x21), lane] }),
  promoteLow: vectorUnary(0x5f),
  sqrt: vectorUnary(0xef),
  add: vector(0xf0),
  sub: vector(0xf1),
  mul: vector(0xf2),
  div: vector(0xf3),
  madd: ternary(0x107),
};

export const i32x4 = {
  splat: unary("i32", "v128", ...simd(0x11)),
  extract: (x: V128, lane: number): Expr<"i32"> => ({ type: "i32", code: [x.code, simd(0x1b), lane] }),
  eq: vector(0x37),
  ltS: vector(0x39),
  gtS: vector(0x3b),
  add: vector(0xae),
  sub: vector(0xb1),
  mul: vector(0xb5),
  truncSatF32S: vectorUnary(0xf8),
};
