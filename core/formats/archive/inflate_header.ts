/** What stands before the symbols of a deflate block: its codes. Format: RFC 1951, 3.2.3 to 3.2.7. */
import { PLACES } from "./inflate_kernel.ts";
import { BLOCK_END_SYMBOL, createTableFillers, LENGTH_BITS, MOST_DISTANCES, MOST_LITERALS } from "./inflate_tables.ts";

/** Takes bits from a lane's input. */
export interface BitReader {
  /** The next bits, 16 at most, the first one lowest. */
  peek(count: number): number;
  skip(count: number): void;
  take(count: number): number;
}

/** @param bit Where in `places` the bit of `memory` stands that comes next */
export function bitReader(memory: Uint8Array, places: Int32Array, bit: number): BitReader {
  const peek = (count: number) => {
    const at = places[bit] >> 3;
    const three = memory[at] | memory[at + 1] << 8 | memory[at + 2] << 16;
    return three >> (places[bit] & 7) & (1 << count) - 1;
  };
  const skip = (count: number) => void (places[bit] += count);
  return {
    peek,
    skip,
    take(count) {
      const bits = peek(count);
      skip(count);
      return bits;
    },
  };
}

/** The order in which the lengths of the code of lengths are stored. */
const LENGTHS_ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
/** Symbols of that code that repeat a length: how many extra bits there are, and how often at least. */
const REPEATS: Readonly<Record<number, readonly [bits: number, least: number]>> = {
  16: [2, 3],
  17: [3, 3],
  18: [7, 11],
};

/** Makes what fills the tables of a block's codes, of the lane at `base`; it gives false where they are none. */
export function codeReader(memory: ArrayBuffer, base: number, bits: BitReader): (fixed: boolean) => boolean {
  const table = (from: number, to: number) => new Uint32Array(memory, base + from, (to - from) / 4);
  const literals = table(PLACES.literals, PLACES.distances);
  const distances = table(PLACES.distances, PLACES.input);
  const ofLengths = new Uint32Array(1 << LENGTH_BITS);
  const fill = createTableFillers();
  const lengths = new Uint8Array(MOST_LITERALS + MOST_DISTANCES);

  const readFixed = (): boolean => {
    const fixed = new Uint8Array(288).fill(8).fill(9, 144, 256).fill(7, 256, 280);
    return fill.literals(literals, fixed) && fill.distances(distances, new Uint8Array(32).fill(5));
  };
  const readLengths = (count: number): boolean => {
    for (let i = 0; i < count;) {
      const entry = ofLengths[bits.peek(LENGTH_BITS)];
      bits.skip(entry & 63);
      const symbol = entry >> 16;
      if (symbol < 16) {
        lengths[i++] = symbol;
        continue;
      }
      if (symbol === 16 && i === 0) return false;
      const [extra, least] = REPEATS[symbol];
      const end = i + least + bits.take(extra);
      if (end > count) return false;
      lengths.fill(symbol === 16 ? lengths[i - 1] : 0, i, end);
      i = end;
    }
    return true;
  };
  const readDynamic = (): boolean => {
    const literalCount = bits.take(5) + 257;
    const distanceCount = bits.take(5) + 1;
    const stored = bits.take(4) + 4;
    if (literalCount > MOST_LITERALS || distanceCount > MOST_DISTANCES) return false;
    const own = new Uint8Array(LENGTHS_ORDER.length);
    for (let i = 0; i < stored; i++) own[LENGTHS_ORDER[i]] = bits.take(3);
    if (!fill.lengths(ofLengths, own) || !readLengths(literalCount + distanceCount)) return false;
    if (lengths[BLOCK_END_SYMBOL] === 0) return false;
    const ofDistances = lengths.subarray(literalCount, literalCount + distanceCount);
    return fill.literals(literals, lengths.subarray(0, literalCount)) && fill.distances(distances, ofDistances);
  };
  return (fixed) => fixed ? readFixed() : readDynamic();
}
