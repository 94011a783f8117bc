/**
 * The arithmetic of an average as WebAssembly of 128-bit SIMD: block by block numbers are added up, divided, and become labels. Loops over
 * a Float16Array take up to 9 ns a number in V8, these less than 0.5.
 *
 * Functions are `(count: i32, value: i32) -> i32` over the arrays of {@link ARRAYS} in the module's own memory; they go on to the end of
 * the last 16 elements.
 */
import { type Code, signed, unsigned } from "../base/wasm_encode.ts";
import { smallModule } from "../base/wasm_module.ts";

/** Elements of a block; blocks stay in a processor's cache. */
export const BLOCK = 1 << 15;

/** Where the arrays of a block begin in the memory, in bytes. */
export const ARRAYS = {
  /** Of a file, of any type up to float64. */
  numbers: 0,
  /** float32; of several files' numbers, then their mean. */
  means: 8 * BLOCK,
  /** float32; the highest mean of each voxel so far. */
  best: 12 * BLOCK,
  /** uint8 or uint16. */
  labels: 16 * BLOCK,
} as const;
const MEMORY_PAGES = 18 * BLOCK / 2 ** 16;

/** Bits of what the functions that label return. */
export const CHANGED = 1;
export const NO_NUMBER = 2;

const [I32, V128] = [0x7f, 0x7b];

// Variables of every function: its parameters, the element the loop is at, and vectors.
const get = (index: number): Code => [0x20, index];
const set = (index: number, value: Code): Code => [value, 0x21, index];
const COUNT = get(0);
const VALUE = get(1);
const ELEMENT = 2;
const [CHANGES, NO_NUMBERS, FIRST_FREE] = [3, 4, 5];
const VECTORS = 7;

const i32Const = (value: number): Code => [0x41, signed(value)];
const shiftLeft = (x: Code, bits: number): Code => [x, i32Const(bits), 0x74];
const simd = (op: number) => (...operands: Code[]): Code => [operands, 0xfd, unsigned(op)];
const shift = (op: number) => (x: Code, bits: number): Code => simd(op)(x, i32Const(bits));
const constant = (bytes: Uint8Array): Code => [0xfd, 0x0c, [...bytes]];
const v128 = { and: simd(0x4e), or: simd(0x50), bitselect: simd(0x52), anyTrue: simd(0x53) };
const i16x8 = {
  const: (value: number): Code => constant(new Uint8Array(new Uint16Array(8).fill(value).buffer)),
  ltS: simd(0x2f),
  gtS: simd(0x31),
  add: simd(0x8e),
  shl: shift(0x8b),
  shrU: shift(0x8d),
  /** Four 32-bit numbers of their lower and upper halves: of the first four lanes of two vectors, or of the last four. */
  join: (lower: Code, upper: Code, part: 0 | 1): Code => [
    [lower, upper, 0xfd, 0x0d],
    [0, 1, 2, 3].flatMap((lane) => [0, 1, 16, 17].map((byte) => 8 * part + 2 * lane + byte)),
  ],
};
const f32x4 = {
  const: (value: number): Code => constant(new Uint8Array(new Float32Array(4).fill(value).buffer)),
  ne: simd(0x42),
  gt: simd(0x44),
  add: simd(0xe4),
  sub: simd(0xe5),
  mul: simd(0xe6),
  div: simd(0xe7),
  /** x < y ? y : x */
  pmax: simd(0xeb),
  splatI32: (value: Code): Code => simd(0x13)([value, 0xb3]),
};

/** Of the loop's element and those behind it; `by` more bytes. Alignment hint 0. */
const memarg = (array: number, by: number): Code => [0, unsigned(array + by)];
const addressOf = (bytesPerElement: 1 | 2 | 4): Code => shiftLeft(get(ELEMENT), Math.log2(bytesPerElement));
const load = (array: number, bytesPerElement: 1 | 2 | 4, by = 0): Code => [
  [addressOf(bytesPerElement), 0xfd, 0x00],
  memarg(array, by),
];
const store = (array: number, bytesPerElement: 1 | 2 | 4, value: Code, by = 0): Code => [
  [addressOf(bytesPerElement), value, 0xfd, 0x0b],
  memarg(array, by),
];

/** `body` for every `step` elements of a block, which is not empty. */
const loop = (step: number, body: Code): Code => [
  [0x03, 0x40, body, set(ELEMENT, [get(ELEMENT), i32Const(step), 0x6a])],
  [get(ELEMENT), COUNT, 0x48, 0x0d, 0, 0x0b],
];

/** The upper 16 bits of the difference between the biases of float32's and float16's exponents, 127 and 15. */
const BIAS = (127 - 15) << 7;

/**
 * Eight float16 numbers as float32, exactly, by their bits; `use` takes four of them and their place in bytes. Subnormal ones and 0 are
 * taken for 2^-14 and a fraction of it, and that 2^-14 is subtracted: by way of float32's own subnormals processors are slow.
 */
function halves(use: (four: Code, by: number) => Code): Code {
  const [half, magnitude, subnormal, upper] = [0, 1, 2, 3].map((i) => FIRST_FREE + i);
  const infinite = v128.and(i16x8.gtS(get(magnitude), i16x8.const(0x7bff)), i16x8.const(BIAS));
  const exponents = i16x8.add(i16x8.add(i16x8.shrU(get(magnitude), 3), i16x8.const(BIAS)), infinite);
  const zero = i16x8.const(0);
  const subtracted = v128.and(get(subnormal), i16x8.const(BIAS + 0x80));
  const sign = v128.and(get(half), i16x8.const(0x8000));
  const four = (part: 0 | 1): Code => {
    const number = i16x8.join(i16x8.shl(get(magnitude), 13), get(upper), part);
    return v128.or(f32x4.sub(number, i16x8.join(zero, subtracted, part)), i16x8.join(zero, sign, part));
  };
  return [
    set(half, load(ARRAYS.numbers, 2)),
    set(magnitude, v128.and(get(half), i16x8.const(0x7fff))),
    set(subnormal, i16x8.ltS(get(magnitude), i16x8.const(0x400))),
    set(upper, i16x8.add(exponents, v128.and(get(subnormal), i16x8.const(0x80)))),
    use(four(0), 0),
    use(four(1), 16),
  ];
}

const means = (by = 0) => load(ARRAYS.means, 4, by);
const keep = (sums: Code, by = 0): Code => store(ARRAYS.means, 4, sums, by);
const nothing = i32Const(0);

/**
 * Where a mean is above the best so far, or else above 1/2, the label becomes VALUE. Comparisons with what is no number are false.
 * @returns {@link CHANGED}, {@link NO_NUMBER}, both or neither
 */
function label(bytesPerLabel: 1 | 2, raisesBest: boolean): Code {
  const vectors = 4 / bytesPerLabel;
  const highest = (by: number) => raisesBest ? load(ARRAYS.best, 4, by) : f32x4.const(0.5);
  const above = (i: number) => get(FIRST_FREE + i);
  const steps = Array.from({ length: vectors }, (_, i): Code => [
    set(FIRST_FREE + i, f32x4.gt(means(16 * i), highest(16 * i))),
    set(NO_NUMBERS, v128.or(get(NO_NUMBERS), f32x4.ne(means(16 * i), means(16 * i)))),
    raisesBest ? store(ARRAYS.best, 4, f32x4.pmax(highest(16 * i), means(16 * i)), 16 * i) : [],
  ]);
  const narrow16 = simd(0x85);
  const narrow8 = simd(0x65);
  const first = narrow16(above(0), above(1));
  const mask = FIRST_FREE + vectors;
  const splat = simd(bytesPerLabel === 1 ? 0x0f : 0x10)(VALUE);
  const body = [
    steps,
    set(mask, bytesPerLabel === 1 ? narrow8(first, narrow16(above(2), above(3))) : first),
    set(CHANGES, v128.or(get(CHANGES), get(mask))),
    store(
      ARRAYS.labels,
      bytesPerLabel,
      v128.bitselect(splat, load(ARRAYS.labels, bytesPerLabel), get(mask)),
    ),
  ];
  const noNumber = shiftLeft(v128.anyTrue(get(NO_NUMBERS)), Math.log2(NO_NUMBER));
  return [loop(4 * vectors, body), v128.anyTrue(get(CHANGES)), noNumber, 0x72];
}

const FUNCTIONS = {
  /** means = numbers, float16. */
  startHalf: [loop(8, halves(keep)), nothing],
  /** means += numbers, float16. */
  addHalf: [loop(8, halves((four, by) => keep(f32x4.add(means(by), four), by))), nothing],
  /** means += numbers, float32. */
  addSingle: [loop(4, keep(f32x4.add(means(), load(ARRAYS.numbers, 4)))), nothing],
  /** means /= 2: half of a number is exact, and its product faster. */
  halve: [loop(4, keep(f32x4.mul(means(), f32x4.const(0.5)))), nothing],
  /** means /= value. */
  divide: [loop(4, keep(f32x4.div(means(), f32x4.splatI32(VALUE)))), nothing],
  /** The label is `value` where the mean is above best, which then is the mean. */
  raise8: label(1, true),
  raise16: label(2, true),
  /** The label is `value` where the mean is above 1/2. */
  overwrite8: label(1, false),
  overwrite16: label(2, false),
} satisfies Record<string, Code>;

export type MergeFunction = (count: number, value: number) => number;
export type MergeFunctions = Readonly<Record<keyof typeof FUNCTIONS, MergeFunction>>;

/** The module; it exports its memory as `memory` beside the functions. */
export function mergeModule(): Uint8Array<ArrayBuffer> {
  const functions = Object.fromEntries(
    Object.entries<Code>(FUNCTIONS).map(([name, code]) => [name, [2, 1, I32, VECTORS, V128, code]]),
  );
  return smallModule({ type: [2, I32, I32, 1, I32], pages: MEMORY_PAGES, functions });
}
