/** The tables by which codes of a deflate block are looked up. Format: RFC 1951, 3.2.2 to 3.2.7; what is no code is as in zlib's inftrees.c. */
import { BLOCK_END, DISTANCE_BITS, LITERAL, LITERAL_BITS, LONGER, SPECIAL, STALE } from "./inflate_kernel.ts";

/** Bits of the longest code. */
const LONGEST = 15;

/** Bits of the longest code of code lengths. */
export const LENGTH_BITS = 7;

/** How many symbols of literals and lengths, and of distances, there may be. */
export const MOST_LITERALS = 286;
export const MOST_DISTANCES = 30;
export const BLOCK_END_SYMBOL = 256;

/** Least lengths and distances of the symbols, and how many extra bits each has. */
const LENGTHS = [
  [3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258],
  [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0],
];
const DISTANCE_EXTRA = Array.from({ length: MOST_DISTANCES }, (_, i) => Math.max(0, (i >> 1) - 1));
const LEAST_DISTANCES = DISTANCE_EXTRA.map((extra, i) => i < 2 ? i + 1 : 1 + ((2 + (i & 1)) << extra));

/** Entries of symbols without the bits of their codes: see inflate_kernel.ts. */
const LITERAL_ENTRIES = Uint32Array.from({ length: 288 }, (_, symbol) => {
  if (symbol < 256) return LITERAL | symbol << 16;
  if (symbol === 256) return SPECIAL | BLOCK_END;
  if (symbol >= MOST_LITERALS) return SPECIAL;
  return LENGTHS[0][symbol - 257] << 16 | LENGTHS[1][symbol - 257];
});
const DISTANCE_ENTRIES = Uint32Array.from(
  { length: 32 },
  (_, symbol) => symbol >= MOST_DISTANCES ? SPECIAL : LEAST_DISTANCES[symbol] << 16 | DISTANCE_EXTRA[symbol],
);
/** Of the code that the others' lengths are written in: the symbol itself. */
const LENGTH_ENTRIES = Uint32Array.from({ length: 19 }, (_, symbol) => symbol << 16);

/** Fills `table`; false where `lengths`, the bits of each symbol's code, are of no code. */
export type FillTable = (table: Uint32Array, lengths: Uint8Array) => boolean;

/**
 * Makes what fills tables of 2^bits entries, behind which those of longer codes come.
 * @param mayBeOne True: one code of one bit, or none at all, is right as well, though it leaves bits that mean nothing
 */
function tableFiller(entries: Uint32Array, bits: number, mayBeOne: boolean): FillTable {
  const counts = new Uint16Array(LONGEST + 1);
  const next = new Uint16Array(LONGEST + 2); // of each length, where its next symbol goes
  const sorted = new Uint16Array(entries.length);
  return (table, lengths) => {
    counts.fill(0);
    for (let symbol = 0; symbol < lengths.length; symbol++) counts[lengths[symbol]]++;
    counts[0] = 0;
    next[1] = 0;
    let left = 1;
    for (let length = 1; length <= LONGEST; length++) {
      left = 2 * left - counts[length];
      if (left < 0) return false;
      next[length + 1] = next[length] + counts[length];
    }
    const used = next[LONGEST + 1];
    for (let symbol = 0; symbol < lengths.length; symbol++) {
      if (lengths[symbol] > 0) sorted[next[lengths[symbol]]++] = symbol;
    }
    if (left === 0) fillTable(table, bits, entries, sorted, counts);
    else if (!mayBeOne || used > 1 || counts[1] !== used) return false;
    else {
      const one = used === 1 ? entryOf(entries[sorted[0]], 1) : SPECIAL | 1;
      for (let i = 0; i < 1 << bits; i += 2) [table[i], table[i + 1]] = [one, SPECIAL | 1];
    }
    return true;
  };
}

/** The bits of a code are added to the extra bits, and stand for themselves too. */
function entryOf(entry: number, length: number): number {
  return entry + length | length + STALE << 8;
}

/** The code behind `code`, both with their first bit lowest, of `length` bits, if `code` is not the last one of its length. */
function codeAfter(code: number, length: number): number {
  const zero = 1 << 31 - Math.clz32(code ^ (1 << length) - 1);
  return code & zero - 1 | zero;
}

/**
 * A code is looked up by the bits that follow, so every entry that ends with it is its own: the table is doubled with each length.
 * @param sorted The symbols by length, and those of a length in order
 */
function fillTable(
  table: Uint32Array,
  bits: number,
  entries: Uint32Array,
  sorted: Uint16Array,
  counts: Uint16Array,
): void {
  let code = 0;
  let at = 0;
  for (let length = 1; length <= bits; length++) {
    if (length > 1) table.copyWithin(1 << length - 1, 0, 1 << length - 1);
    for (let i = 0; i < counts[length]; i++) {
      table[code] = entryOf(entries[sorted[at++]], length);
      if (code !== (1 << length) - 1) code = codeAfter(code, length);
      else {
        for (let size = length; size < bits; size++) table.copyWithin(1 << size, 0, 1 << size);
        return;
      }
    }
  }
  let [prefix, start, end] = [-1, 0, 1 << bits];
  for (let length = bits + 1; length <= LONGEST; length++) {
    for (let i = 0; i < counts[length]; i++) {
      if ((code & (1 << bits) - 1) !== prefix) {
        prefix = code & (1 << bits) - 1;
        const width = widthOf(length - bits, bits, counts, counts[length] - i);
        start = end;
        end += 1 << width;
        table[prefix] = SPECIAL | LONGER | start << 16 | width << 8;
      }
      const entry = entryOf(entries[sorted[at++]], length);
      for (let place = start + (code >> bits); place < end; place += 1 << length - bits) table[place] = entry;
      if (code !== (1 << length) - 1) code = codeAfter(code, length);
    }
  }
}

/** Bits by which the codes that begin as one of bits + least bits does are told apart. @param rest Codes of its length that are left */
function widthOf(least: number, bits: number, counts: Uint16Array, rest: number): number {
  let width = least;
  for (let taken = rest; taken < 1 << width;) taken = 2 * taken + counts[bits + ++width];
  return width;
}

/** What fills the three tables of a block; each has arrays of its own. */
export interface TableFillers {
  readonly literals: FillTable;
  readonly distances: FillTable;
  /** Of the code in which the other two codes' lengths are written; entries are as theirs, with the symbol as their number. */
  readonly lengths: FillTable;
}

export function createTableFillers(): TableFillers {
  return {
    literals: tableFiller(LITERAL_ENTRIES, LITERAL_BITS, true),
    distances: tableFiller(DISTANCE_ENTRIES, DISTANCE_BITS, true),
    lengths: tableFiller(LENGTH_ENTRIES, LENGTH_BITS, false),
  };
}
