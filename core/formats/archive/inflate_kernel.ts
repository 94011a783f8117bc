/**
 * The loop that unpacks a deflate block's symbols (RFC 1951) as WebAssembly: codes are looked up in tables that inflate_tables.ts
 * makes, and the bytes stay where they are written until matches no longer reach back to them. Of its own because zlib hands out what
 * it unpacks in new memory, which costs pages, and takes 0.50 s for an array of 315 MB of probabilities where this takes 0.37 s.
 *
 * One turn of the loop takes a literal, if there is one, without a branch, and then a match: in packed probabilities a literal stands
 * before two matches of three, which no processor foresees.
 */
import { type Code, flatten, signed, text, unsigned } from "../../base/wasm_encode.ts";

/** Bits that are looked up at once; longer codes go on in a table of their own. */
export const LITERAL_BITS = 11;
export const DISTANCE_BITS = 9;

/** Bytes that matches may reach back to. */
export const WINDOW_BYTES = 1 << 15;
/** Packed bytes that are in memory at a time, and behind them what may be read without counting. */
export const INPUT_BYTES = 1 << 18;
export const INPUT_PAD = 64;
/** Unpacked bytes that are handed out at a time, and behind them what a symbol may write too much. */
export const OUTPUT_BYTES = 1 << 18;
const OUTPUT_PAD = 320;

/** Where things are in the memory, in bytes. */
export const PLACES = {
  /** int32: the bit of {@link PLACES.input} that comes next. */
  bit: 0,
  /** int32: the byte that is written next. */
  out: 4,
  /** uint32 entries. */
  literals: 16,
  distances: 0x4000,
  input: 0x8000,
  output: 0x8000 + INPUT_BYTES + INPUT_PAD,
} as const;
const END = PLACES.output + WINDOW_BYTES + OUTPUT_BYTES + OUTPUT_PAD;

/** Bits taken before that are still below those to come, so that these address a table of four bytes an entry without a shift. */
export const STALE = 2;

/**
 * Entries of the tables: bits 0 to 5 say how many bits of input the symbol takes, bits 8 to 12 how many of them are its code, and
 * {@link STALE} more. Bits 16 on: the literal, the least length or distance.
 */
export const LITERAL = 1 << 31;
/** No symbol as such: */
export const SPECIAL = 1 << 15;
/** a longer code: bits 8 to 12 say how many bits come on top, bits 16 to 30 where its table begins; */
export const LONGER = 1 << 14;
/** the block's end; else a code that has no symbol. */
export const BLOCK_END = 1 << 13;

/** What the loop stops for. */
export const STOPPED = { atEnd: 0, short: 1, damaged: 2 } as const;

const [I32, I64, V128, NOTHING] = [0x7f, 0x7e, 0x7b, 0x40];
const [INPUT_LIMIT, OUTPUT_LIMIT] = [0, 1];
/** Variables: positions in bytes, the entry of a symbol, a match. */
const [IN, OUT, COUNT, ENTRY, LENGTH, DISTANCE, FROM, TO, BITS, SAVED, PATTERN] = [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

const get = (index: number): Code => [0x20, index];
const set = (index: number, value: Code): Code => [value, 0x21, index];
const number = (value: number): Code => [0x41, signed(value)];
const long = (value: number): Code => [0x42, signed(value)];
const binary = (op: number) => (a: Code, b: Code): Code => [a, b, op];
const [add, sub, and, or, xor, shl, shrS, shrU] = [0x6a, 0x6b, 0x71, 0x72, 0x73, 0x74, 0x75, 0x76].map(binary);
const [gtU, gtS, ltS, geS, eq] = [0x4b, 0x4a, 0x48, 0x4e, 0x46].map(binary);
const [or64, shl64, shrU64] = [0x84, 0x86, 0x88].map(binary);
const narrow = (value: Code): Code => [value, 0xa7];
const wide = (value: Code): Code => [value, 0xad];
const load32 = (address: Code, offset = 0): Code => [address, 0x28, 0, unsigned(offset)];
const load64 = (address: Code): Code => [address, 0x29, 0, 0];
const store32 = (value: Code, offset: number): Code => [number(0), value, 0x36, 0, unsigned(offset)];
const load8 = (address: Code): Code => [address, 0x2d, 0, 0];
const load16 = (address: Code): Code => [address, 0x2f, 0, 0];
const store8 = (address: Code, value: Code): Code => [address, value, 0x3a, 0, 0];
const loadVector = (address: Code): Code => [address, 0xfd, 0x00, 0, 0];
const storeVector = (address: Code, value: Code): Code => [address, value, 0xfd, 0x0b, 0, 0];
const splat8 = (value: Code): Code => [value, 0xfd, 0x0f];
const splat16 = (value: Code): Code => [value, 0xfd, 0x10];
const loop = (...code: Code[]): Code => [0x03, NOTHING, code, 0x0b];
const when = (condition: Code, then: Code, otherwise?: Code): Code => [
  [condition, 0x04, NOTHING, then],
  [otherwise ? [0x05, otherwise] : [], 0x0b],
];
const again = (depth: number): Code => [0x0c, depth];
const againIf = (depth: number, condition: Code): Code => [condition, 0x0d, depth];

/** Eight more bytes into BITS, of which COUNT are left: 56 to 63 afterwards. What lies above them is as it will be read again. */
const refill: Code = [
  set(BITS, or64(get(BITS), shl64(load64(get(IN)), wide(get(COUNT))))),
  set(IN, add(get(IN), shrU(and(xor(get(COUNT), number(63)), number(63)), number(3)))),
  set(COUNT, or(get(COUNT), number(56))),
];

/** Takes as many bits as the lowest six of an entry say: shifts look at no more, and of COUNT no others are used. */
const take = (entry: Code): Code => [
  set(BITS, shrU64(get(BITS), wide(entry))),
  set(COUNT, sub(get(COUNT), entry)),
];

const lookUp = (table: number, bits: number): Code =>
  set(ENTRY, load32(and(narrow(get(BITS)), number(((1 << bits) - 1) << STALE)), table));

/** Goes on in the table of a longer code. */
const lookFurther = (table: number, bits: number): Code => {
  const mask = sub(shl(number(4), shrU(get(ENTRY), number(8))), number(4));
  const further = and(narrow(shrU64(get(BITS), long(bits))), mask);
  return set(ENTRY, load32(add(shl(shrU(get(ENTRY), number(16)), number(2)), further), table));
};

/** The entry's number with its extra bits; they are taken. */
const value = (into: number): Code => {
  const symbol = and(narrow(get(SAVED)), xor(shl(number(-1 << STALE), get(ENTRY)), number(-1)));
  return [
    set(SAVED, get(BITS)),
    take(get(ENTRY)),
    set(into, add(shrU(get(ENTRY), number(16)), shrU(symbol, shrU(get(ENTRY), number(8))))),
  ];
};

const stop = (why: number): Code => [
  store32(add(sub(shl(get(IN), number(3)), and(get(COUNT), number(63))), number(STALE)), PLACES.bit),
  store32(get(OUT), PLACES.out),
  number(why),
  0x0f,
];

/** Sixteen bytes at a time from FROM or, without one, of PATTERN. The first are written whatever the length, which most have. */
const copy = (ofPattern: boolean): Code => {
  const vector = (by: Code) =>
    storeVector(add(get(OUT), by), ofPattern ? get(PATTERN) : loadVector(add(get(FROM), by)));
  return [
    vector(number(0)),
    when(gtS(get(LENGTH), number(16)), [
      set(TO, number(16)),
      loop(vector(get(TO)), set(TO, add(get(TO), number(16))), againIf(0, ltS(get(TO), get(LENGTH)))),
    ]),
  ];
};

/** Matches that reach back by less than a vector: one byte or one number of two bytes again and again, or bytes one after the other. */
const copyNear: Code = when(
  gtU(get(DISTANCE), number(2)),
  [
    set(TO, number(0)),
    loop(
      store8(add(get(OUT), get(TO)), load8(add(get(FROM), get(TO)))),
      set(TO, add(get(TO), number(1))),
      againIf(0, ltS(get(TO), get(LENGTH))),
    ),
  ],
  [
    when(
      eq(get(DISTANCE), number(1)),
      set(PATTERN, splat8(load8(get(FROM)))),
      set(PATTERN, splat16(load16(get(FROM)))),
    ),
    copy(true),
  ],
);

const literal: Code = [store8(get(OUT), shrU(get(ENTRY), number(16))), set(OUT, add(get(OUT), number(1)))];

const turn: Code = [
  when(gtU(get(IN), get(INPUT_LIMIT)), stop(STOPPED.short)),
  when(gtU(get(OUT), get(OUTPUT_LIMIT)), stop(STOPPED.short)),
  refill,
  lookUp(PLACES.literals, LITERAL_BITS),
  // A literal, or else nothing is taken and the same entry is looked up again.
  store8(get(OUT), shrU(get(ENTRY), number(16))),
  set(OUT, add(get(OUT), shrU(get(ENTRY), number(31)))),
  take(and(shrS(get(ENTRY), number(31)), get(ENTRY))),
  lookUp(PLACES.literals, LITERAL_BITS),
  when(ltS(get(ENTRY), number(0)), [literal, take(get(ENTRY)), again(1)]),
  when(and(get(ENTRY), number(SPECIAL)), [
    when(and(get(ENTRY), number(LONGER)), [
      lookFurther(PLACES.literals, LITERAL_BITS),
      when(ltS(get(ENTRY), number(0)), [literal, take(get(ENTRY)), again(3)]),
    ]),
    when(and(get(ENTRY), number(SPECIAL)), [
      take(get(ENTRY)),
      when(and(get(ENTRY), number(BLOCK_END)), stop(STOPPED.atEnd)),
      stop(STOPPED.damaged),
    ]),
  ]),
  value(LENGTH),
  // A distance takes up to 15 + 13 bits.
  when(ltS(and(get(COUNT), number(63)), number(STALE + 28)), refill),
  lookUp(PLACES.distances, DISTANCE_BITS),
  when(and(get(ENTRY), number(SPECIAL)), [
    when(and(get(ENTRY), number(LONGER)), lookFurther(PLACES.distances, DISTANCE_BITS)),
    when(and(get(ENTRY), number(SPECIAL)), [take(get(ENTRY)), stop(STOPPED.damaged)]),
  ]),
  value(DISTANCE),
  set(FROM, sub(get(OUT), get(DISTANCE))),
  when(ltS(get(FROM), number(PLACES.output)), stop(STOPPED.damaged)),
  when(geS(get(DISTANCE), number(16)), copy(false), copyNear),
  set(OUT, add(get(OUT), get(LENGTH))),
  again(0),
];

const body: Code = [
  set(OUT, load32(number(0), PLACES.out)),
  set(COUNT, load32(number(0), PLACES.bit)),
  set(IN, shrU(get(COUNT), number(3))),
  set(COUNT, and(get(COUNT), number(7))),
  set(BITS, shl64(shrU64(load64(get(IN)), wide(get(COUNT))), long(STALE))),
  set(IN, add(get(IN), number(7))),
  set(COUNT, sub(number(56 + STALE), get(COUNT))),
  loop(turn),
  0x00, // the loop is left by its stops only
  0x0b,
];

/** `inflate(inputLimit, outputLimit): {@link STOPPED}` goes on while both positions are at most their limit. */
export type InflateLoop = (inputLimit: number, outputLimit: number) => number;

/** The module; it exports `memory` and {@link InflateLoop} as `inflate`. */
export function inflateModule(): Uint8Array<ArrayBuffer> {
  const bytesOf = (code: Code): number[] => {
    const bytes: number[] = [];
    flatten(code, bytes);
    return bytes;
  };
  const section = (id: number, ...content: Code[]): Code => {
    const bytes = bytesOf(content);
    return [id, unsigned(bytes.length), bytes];
  };
  const locals: Code = [3, 8, I32, 2, I64, 1, V128];
  const code = bytesOf([locals, body]);
  const pages = unsigned(Math.ceil(END / 2 ** 16));
  return Uint8Array.from(bytesOf([
    [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    section(1, [1, 0x60, 2, I32, I32, 1, I32]),
    section(3, [1, 0]),
    section(5, [1, 1], pages, pages),
    section(7, [2], text("memory"), [2, 0], text("inflate"), [0, 0]),
    section(10, [1], unsigned(code.length), code),
  ]));
}
