/**
 * The loop that unpacks a deflate block's symbols (RFC 1951) as WebAssembly: codes are looked up in tables that inflate_tables.ts
 * makes, and the bytes stay where they are written until matches no longer reach back to them. Of its own because zlib hands out what
 * it unpacks in new memory, which costs pages, and takes 0.50 s for an array of 315 MB of probabilities where this takes 0.37 s.
 *
 * One turn of the loop takes a literal, if there is one, without a branch, and then a match: in packed probabilities a literal stands
 * before two matches of three, which no processor foresees. Where there are two streams, turns alternate: each waits most of the time
 * for the bits that its last symbol left, and a processor does the other's meanwhile.
 */
import { type Code, signed, unsigned } from "../../base/wasm_encode.ts";
import { smallModule } from "../../base/wasm_module.ts";

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

/** Where things of a lane are, in bytes from where its memory begins. */
export const PLACES = {
  /** int32: the bit of the memory that comes next, the byte that is written next, and how far both bytes may be at the start of a turn. */
  bit: 0,
  out: 4,
  inputLimit: 8,
  outputLimit: 12,
  /** uint32 entries. */
  literals: 16,
  distances: 0x4000,
  input: 0x8000,
  output: 0x8000 + INPUT_BYTES + INPUT_PAD,
} as const;
/** There are two lanes. */
export const LANE_BYTES = PLACES.output + WINDOW_BYTES + OUTPUT_BYTES + OUTPUT_PAD;

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
/** Variables of a turn: what a stop is for, the entry of a symbol, a match. Of these SAVED is an i64, PATTERN a v128. */
const [WHY, ENTRY, LENGTH, DISTANCE, FROM, TO, SAVED, PATTERN, FIRST_OF_LANE] = Array.from({ length: 9 }, (_, i) => i);
const OWN_VARIABLES = 6;

/** A lane's place in the memory and variables of its own, of which BITS is an i64. */
function laneOf(index: number) {
  const [IN, OUT, COUNT, INPUT_LIMIT, OUTPUT_LIMIT, BITS] = Array.from(
    { length: OWN_VARIABLES },
    (_, i) => FIRST_OF_LANE + OWN_VARIABLES * index + i,
  );
  return { index, base: index * LANE_BYTES, IN, OUT, COUNT, INPUT_LIMIT, OUTPUT_LIMIT, BITS };
}
type Lane = ReturnType<typeof laneOf>;
const [FIRST, SECOND] = [0, 1].map(laneOf);
const LOCALS: Code = [7, [6, I32, 1, I64, 1, V128], [5, I32, 1, I64], [5, I32, 1, I64]];

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
const store32 = (address: Code, value: Code, offset: number): Code => [address, value, 0x36, 0, unsigned(offset)];
const load8 = (address: Code): Code => [address, 0x2d, 0, 0];
const load16 = (address: Code): Code => [address, 0x2f, 0, 0];
const store8 = (address: Code, value: Code): Code => [address, value, 0x3a, 0, 0];
const loadVector = (address: Code): Code => [address, 0xfd, 0x00, 0, 0];
const storeVector = (address: Code, value: Code): Code => [address, value, 0xfd, 0x0b, 0, 0];
const splat8 = (value: Code): Code => [value, 0xfd, 0x0f];
const splat16 = (value: Code): Code => [value, 0xfd, 0x10];
const block = (...code: Code[]): Code => [0x02, NOTHING, code, 0x0b];
const loop = (...code: Code[]): Code => [0x03, NOTHING, code, 0x0b];
const when = (condition: Code, then: Code, otherwise?: Code): Code => [
  [condition, 0x04, NOTHING, then],
  [otherwise ? [0x05, otherwise] : [], 0x0b],
];
const againIf = (depth: number, condition: Code): Code => [condition, 0x0d, depth];

/** Eight more bytes into BITS, of which COUNT are left: 56 to 63 afterwards. What lies above them is as it will be read again. */
const refill = ({ IN, COUNT, BITS }: Lane): Code => [
  set(BITS, or64(get(BITS), shl64(load64(get(IN)), wide(get(COUNT))))),
  set(IN, add(get(IN), shrU(and(xor(get(COUNT), number(63)), number(63)), number(3)))),
  set(COUNT, or(get(COUNT), number(56))),
];

/** Takes as many bits as the lowest six of an entry say: shifts look at no more, and of COUNT no others are used. */
const take = ({ COUNT, BITS }: Lane, entry: Code = get(ENTRY)): Code => [
  set(BITS, shrU64(get(BITS), wide(entry))),
  set(COUNT, sub(get(COUNT), entry)),
];

const lookUp = ({ base, BITS }: Lane, table: number, bits: number): Code =>
  set(ENTRY, load32(and(narrow(get(BITS)), number(((1 << bits) - 1) << STALE)), base + table));

/** Goes on in the table of a longer code. */
const lookFurther = ({ base, BITS }: Lane, table: number, bits: number): Code => {
  const mask = sub(shl(number(4), shrU(get(ENTRY), number(8))), number(4));
  const further = and(narrow(shrU64(get(BITS), long(bits))), mask);
  return set(ENTRY, load32(add(shl(shrU(get(ENTRY), number(16)), number(2)), further), base + table));
};

/** The entry's number with its extra bits; they are taken. */
const value = (lane: Lane, into: number): Code => {
  const symbol = and(narrow(get(SAVED)), xor(shl(number(-1 << STALE), get(ENTRY)), number(-1)));
  return [
    set(SAVED, get(lane.BITS)),
    take(lane),
    set(into, add(shrU(get(ENTRY), number(16)), shrU(symbol, shrU(get(ENTRY), number(8))))),
  ];
};

/** Sixteen bytes at a time from FROM or, without one, of PATTERN. The first are written whatever the length, which most have. */
const copy = ({ OUT }: Lane, ofPattern: boolean): Code => {
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
const copyNear = (lane: Lane): Code =>
  when(
    gtU(get(DISTANCE), number(2)),
    [
      set(TO, number(0)),
      loop(
        store8(add(get(lane.OUT), get(TO)), load8(add(get(FROM), get(TO)))),
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
      copy(lane, true),
    ],
  );

const branch = (depth: number): Code => [0x0c, depth];
const literal = ({ OUT }: Lane): Code => [
  store8(get(OUT), shrU(get(ENTRY), number(16))),
  set(OUT, add(get(OUT), number(1))),
];

/** A block that is left at its end or by {@link branch}, in the loop, in the block that stops leave. */
const turn = (lane: Lane): Code => {
  const { index, base, IN, OUT, INPUT_LIMIT, OUTPUT_LIMIT, COUNT } = lane;
  /** From so many conditions deep. */
  const stop = (why: number, depth: number): Code => [set(WHY, number(why + 4 * index)), branch(depth + 2)];
  return block(
    when(gtU(get(IN), get(INPUT_LIMIT)), stop(STOPPED.short, 1)),
    when(gtU(get(OUT), get(OUTPUT_LIMIT)), stop(STOPPED.short, 1)),
    refill(lane),
    lookUp(lane, PLACES.literals, LITERAL_BITS),
    // A literal, or else nothing is taken and the same entry is looked up again.
    store8(get(OUT), shrU(get(ENTRY), number(16))),
    set(OUT, add(get(OUT), shrU(get(ENTRY), number(31)))),
    take(lane, and(shrS(get(ENTRY), number(31)), get(ENTRY))),
    lookUp(lane, PLACES.literals, LITERAL_BITS),
    when(ltS(get(ENTRY), number(0)), [literal(lane), take(lane), branch(1)]),
    when(and(get(ENTRY), number(SPECIAL)), [
      when(and(get(ENTRY), number(LONGER)), [
        lookFurther(lane, PLACES.literals, LITERAL_BITS),
        when(ltS(get(ENTRY), number(0)), [literal(lane), take(lane), branch(3)]),
      ]),
      when(and(get(ENTRY), number(SPECIAL)), [
        take(lane),
        when(and(get(ENTRY), number(BLOCK_END)), stop(STOPPED.atEnd, 3)),
        stop(STOPPED.damaged, 2),
      ]),
    ]),
    value(lane, LENGTH),
    // A distance takes up to 15 + 13 bits.
    when(ltS(and(get(COUNT), number(63)), number(STALE + 28)), refill(lane)),
    lookUp(lane, PLACES.distances, DISTANCE_BITS),
    when(and(get(ENTRY), number(SPECIAL)), [
      when(and(get(ENTRY), number(LONGER)), lookFurther(lane, PLACES.distances, DISTANCE_BITS)),
      when(and(get(ENTRY), number(SPECIAL)), [take(lane), stop(STOPPED.damaged, 2)]),
    ]),
    value(lane, DISTANCE),
    set(FROM, sub(get(OUT), get(DISTANCE))),
    when(ltS(get(FROM), number(base + PLACES.output)), stop(STOPPED.damaged, 1)),
    when(geS(get(DISTANCE), number(16)), copy(lane, false), copyNear(lane)),
    set(OUT, add(get(OUT), get(LENGTH))),
  );
};

const load = ({ base, IN, OUT, COUNT, BITS, INPUT_LIMIT, OUTPUT_LIMIT }: Lane): Code => [
  set(OUT, load32(number(base), PLACES.out)),
  set(INPUT_LIMIT, load32(number(base), PLACES.inputLimit)),
  set(OUTPUT_LIMIT, load32(number(base), PLACES.outputLimit)),
  set(COUNT, load32(number(base), PLACES.bit)),
  set(IN, shrU(get(COUNT), number(3))),
  set(COUNT, and(get(COUNT), number(7))),
  set(BITS, shl64(shrU64(load64(get(IN)), wide(get(COUNT))), long(STALE))),
  set(IN, add(get(IN), number(7))),
  set(COUNT, sub(number(56 + STALE), get(COUNT))),
];
const store = ({ base, IN, OUT, COUNT }: Lane): Code => [
  store32(number(base), add(sub(shl(get(IN), number(3)), and(get(COUNT), number(63))), number(STALE)), PLACES.bit),
  store32(number(base), get(OUT), PLACES.out),
];

const body = (lanes: readonly Lane[]): Code => [
  lanes.map(load),
  block(loop(lanes.map(turn), branch(0))),
  lanes.map(store),
  get(WHY),
];

/** Goes on with the blocks of one or both lanes until one stops; gives {@link STOPPED}, and 4 more if it is the second one. */
export type InflateLoop = () => number;

/** The module; it exports `memory` and {@link InflateLoop}s: `first`, `second` and `both`. */
export function inflateModule(): Uint8Array<ArrayBuffer> {
  const loopOf = (...lanes: Lane[]): Code => [LOCALS, body(lanes)];
  return smallModule({
    type: [0, 1, I32],
    pages: Math.ceil(2 * LANE_BYTES / 2 ** 16),
    functions: { first: loopOf(FIRST), second: loopOf(SECOND), both: loopOf(FIRST, SECOND) },
  });
}
