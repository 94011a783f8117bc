/**
 * Unpacks a raw deflate stream piece by piece, in a memory that stays the same. Format: RFC 1951; what is refused is what zlib refuses.
 */
import {
  type InflateLoop,
  inflateModule,
  INPUT_BYTES,
  INPUT_PAD,
  OUTPUT_BYTES,
  PLACES,
  STOPPED,
  WINDOW_BYTES,
} from "./inflate_kernel.ts";
import { BLOCK_END_SYMBOL, createTableFillers, LENGTH_BITS, MOST_DISTANCES, MOST_LITERALS } from "./inflate_tables.ts";

/** What is wrong with a stream: it ends too early, or is none of deflate's. */
export class DeflateError extends Error {
  override readonly name = "DeflateError";
  constructor(readonly endsEarly: boolean) {
    super(endsEarly ? "the packed bytes end too early" : "the packed bytes can't be unpacked");
  }
}

export interface Inflation {
  /** The unpacked bytes, each piece valid until the next one is asked for. @throws DeflateError; what `read` throws */
  readonly pieces: AsyncGenerator<Uint8Array, void, void>;
  /** Packed bytes up to the end of the stream, once the last piece came. */
  readonly taken: () => number;
}

/** Packed bytes that are asked for at a time: as many as there is room for beside a block's header. */
const READ_BYTES = INPUT_BYTES - 1024;

/** @param read Fills an array from its start with packed bytes; gives how many there were, fewer than asked for only at the end */
export function inflateRaw(read: (into: Uint8Array) => Promise<number>): Inflation {
  const unpacker = createUnpacker();
  let fed = 0;
  async function* pieces(): AsyncGenerator<Uint8Array, void, void> {
    // The next bytes are read while those before are unpacked.
    const buffer = new Uint8Array(READ_BYTES);
    let reading: Promise<number> | undefined = read(buffer);
    try {
      for (;;) {
        const state = unpacker.next();
        if (state === "done" || state === "piece") yield unpacker.piece();
        if (state === "done") return;
        if (state === "piece") continue;
        if (!reading) throw new DeflateError(true);
        const got = await reading;
        reading = undefined;
        unpacker.feed(buffer.subarray(0, got));
        fed += got;
        if (got < buffer.length) unpacker.end();
        else reading = read(buffer);
      }
    } finally {
      await reading?.catch(() => {}); // its file may be closed now
    }
  }
  return { pieces: pieces(), taken: () => fed - unpacker.unused() };
}

interface Unpacker {
  /** Unpacks until there is a piece, or more input is needed. @throws DeflateError */
  next(): "piece" | "input" | "done";
  /** What was unpacked since the last one. */
  piece(): Uint8Array;
  /** Adds packed bytes, {@link READ_BYTES} at most; only after "input". */
  feed(bytes: Uint8Array): void;
  /** No more input comes. */
  end(): void;
  /** Bytes of the input that are behind what was unpacked. */
  unused(): number;
}

/** How far from the end of the input the loop stops, so that it may read ahead. */
const READ_AHEAD = 24;
/** Bytes of the input that are needed to go on: of a block's header, which is shorter; of some symbols; one. */
const NEEDED = { none: 600, codes: READ_AHEAD + 8, stored: 1 };
/** From here on what was unpacked has to be given away first. */
const OUTPUT_LIMIT = PLACES.output + WINDOW_BYTES + OUTPUT_BYTES - 1;
const [BIT, OUT] = [PLACES.bit / 4, PLACES.out / 4];

function createUnpacker(): Unpacker {
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(inflateModule()));
  const memory = new Uint8Array((exports.memory as WebAssembly.Memory).buffer as ArrayBuffer);
  const inflate = exports.inflate as InflateLoop;
  const places = new Int32Array(memory.buffer, 0, 2);
  const bits = bitReader(memory, places);
  const readCodes = codeReader(memory, bits);
  let inputEnd: number = PLACES.input;
  let ended = false;
  let block: "none" | "codes" | "stored" = "none";
  let isLast = false;
  let storedLeft = 0;
  let given: number = PLACES.output;
  places[BIT] = 8 * PLACES.input;
  places[OUT] = PLACES.output;

  const bytesLeft = () => inputEnd - (places[BIT] + 7 >> 3);
  const requireThere = () => {
    if (ended && bytesLeft() < 0) throw new DeflateError(true);
  };
  const damaged = (): never => {
    requireThere(); // what lies behind the end is as good as damaged
    throw new DeflateError(false);
  };
  const startBlock = (): void => {
    isLast = bits.take(1) === 1;
    const kind = bits.take(2);
    if (kind === 0) {
      places[BIT] = places[BIT] + 7 & ~7;
      storedLeft = bits.take(16);
      if (bits.take(16) !== (~storedLeft & 0xffff)) damaged();
    } else if (kind === 3 || !readCodes(kind === 1)) damaged();
    requireThere();
    block = kind > 0 ? "codes" : storedLeft > 0 ? "stored" : "none";
  };
  const unpackCodes = (): void => {
    const why = inflate(ended ? inputEnd + 8 : inputEnd - READ_AHEAD, OUTPUT_LIMIT);
    if (why === STOPPED.damaged) damaged();
    requireThere();
    if (why === STOPPED.atEnd) block = "none";
  };
  const unpackStored = (): void => {
    const from = places[BIT] >> 3;
    const count = Math.min(storedLeft, inputEnd - from, OUTPUT_LIMIT + 1 - places[OUT]);
    if (count <= 0) throw new DeflateError(true);
    memory.copyWithin(places[OUT], from, from + count);
    places[BIT] += 8 * count;
    places[OUT] += count;
    storedLeft -= count;
    if (storedLeft === 0) block = "none";
  };
  /** What was given away makes room; as much of it stays as matches reach back to. */
  const makeRoom = (): void => {
    memory.copyWithin(PLACES.output, given - WINDOW_BYTES, given);
    places[OUT] = given = PLACES.output + WINDOW_BYTES;
  };

  return {
    next() {
      for (;;) {
        if (places[OUT] > OUTPUT_LIMIT) {
          if (given < places[OUT]) return "piece";
          makeRoom();
        }
        if (block === "none" && isLast) return "done";
        if (!ended && bytesLeft() < NEEDED[block]) return "input";
        if (block === "none") startBlock();
        else if (block === "codes") unpackCodes();
        else unpackStored();
      }
    },
    piece() {
      const piece = memory.subarray(given, places[OUT]);
      given = places[OUT];
      return piece;
    },
    feed(bytes) {
      const moved = (places[BIT] >> 3) - PLACES.input;
      memory.copyWithin(PLACES.input, PLACES.input + moved, inputEnd);
      memory.set(bytes, inputEnd - moved);
      places[BIT] -= 8 * moved;
      inputEnd += bytes.length - moved;
    },
    end() {
      ended = true;
      memory.fill(0, inputEnd, inputEnd + INPUT_PAD);
    },
    unused: bytesLeft,
  };
}

interface BitReader {
  /** The next bits, 16 at most, the first one lowest. */
  peek(count: number): number;
  skip(count: number): void;
  take(count: number): number;
}

function bitReader(memory: Uint8Array, places: Int32Array): BitReader {
  const peek = (count: number) => {
    const at = places[BIT] >> 3;
    const three = memory[at] | memory[at + 1] << 8 | memory[at + 2] << 16;
    return three >> (places[BIT] & 7) & (1 << count) - 1;
  };
  const skip = (count: number) => void (places[BIT] += count);
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

/** Makes what fills the tables of a block's codes; it gives false where they are none. */
function codeReader(memory: Uint8Array<ArrayBuffer>, bits: BitReader): (fixed: boolean) => boolean {
  const table = (from: number, to: number) => new Uint32Array(memory.buffer, from, (to - from) / 4);
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
