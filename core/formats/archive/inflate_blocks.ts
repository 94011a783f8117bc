/** The blocks of a deflate stream (RFC 1951), one after the other, up to where the loop of inflate_kernel.ts unpacks symbols. */
import { bitReader, codeReader } from "./inflate_header.ts";
import { INPUT_BYTES, INPUT_PAD, LANE_BYTES, PLACES, STOPPED } from "./inflate_kernel.ts";

/** What is wrong with a stream: it ends too early, or is none of deflate's. */
export class DeflateError extends Error {
  override readonly name = "DeflateError";
  constructor(readonly endsEarly: boolean) {
    super(endsEarly ? "the packed bytes end too early" : "the packed bytes can't be unpacked");
  }
}

/** Packed bytes that are taken at a time: as many as there is room for beside a block's header. */
export const READ_BYTES = INPUT_BYTES - 1024;

/** How far from the end of the input the loop stops, so that it may read ahead. */
const READ_AHEAD = 24;
/** Bytes of the input that are needed to go on: of a block's header, which is shorter; of some symbols; one. */
const NEEDED = { none: 600, codes: READ_AHEAD + 8, stored: 1 };

const [BIT, OUT] = [PLACES.bit / 4, PLACES.out / 4];
const [INPUT_LIMIT, OUTPUT_LIMIT] = [PLACES.inputLimit / 4, PLACES.outputLimit / 4];

/** A stream that is being unpacked. */
export interface Blocks {
  /**
   * Goes on to where the loop can, or can't: more than up to `limit` is unpacked, input is needed, all is done.
   * @param takeInput Feeds packed bytes that are there; false if none are
   * @throws DeflateError
   */
  goOn(limit: number, takeInput: () => boolean): "codes" | "full" | "input" | "done";
  /** Takes note of why the loop stopped. @throws DeflateError */
  stopped(why: number): void;
  /** Adds packed bytes, {@link READ_BYTES} at most; only when asked to. */
  feed(bytes: Uint8Array, isLast: boolean): void;
  /** Bytes of the input that are behind what was unpacked. */
  unused(): number;
  /** Where in the memory the next byte is written. */
  out(): number;
  /** The bytes before that place have been moved down by so many. */
  moveOut(by: number): void;
  /** Begins another stream. */
  restart(): void;
}

export function createBlocks(memory: Uint8Array<ArrayBuffer>, lane: 0 | 1): Blocks {
  const base = lane * LANE_BYTES;
  const input = base + PLACES.input;
  const places = new Int32Array(memory.buffer, base, 4);
  const bits = bitReader(memory, places, BIT);
  const readCodes = codeReader(memory.buffer, base, bits);
  let inputEnd = input;
  let ended = false;
  let block: "none" | "codes" | "stored" = "none";
  let isLastBlock = false;
  let storedLeft = 0;
  const restart = () => {
    [inputEnd, ended, block, isLastBlock, storedLeft] = [input, false, "none", false, 0];
    places[BIT] = 8 * input;
    places[OUT] = base + PLACES.output;
  };
  restart();

  const unused = () => inputEnd - (places[BIT] + 7 >> 3);
  const requireThere = () => {
    if (ended && unused() < 0) throw new DeflateError(true);
  };
  const damaged = (): never => {
    requireThere(); // what lies behind the end is as good as damaged
    throw new DeflateError(false);
  };
  const startBlock = (): void => {
    isLastBlock = bits.take(1) === 1;
    const kind = bits.take(2);
    if (kind === 0) {
      places[BIT] = places[BIT] + 7 & ~7;
      storedLeft = bits.take(16);
      if (bits.take(16) !== (~storedLeft & 0xffff)) damaged();
    } else if (kind === 3 || !readCodes(kind === 1)) damaged();
    requireThere();
    block = kind > 0 ? "codes" : storedLeft > 0 ? "stored" : "none";
  };
  const unpackStored = (limit: number): void => {
    const from = places[BIT] >> 3;
    const count = Math.min(storedLeft, inputEnd - from, limit + 1 - places[OUT]);
    if (count <= 0) throw new DeflateError(true);
    memory.copyWithin(places[OUT], from, from + count);
    places[BIT] += 8 * count;
    places[OUT] += count;
    storedLeft -= count;
    if (storedLeft === 0) block = "none";
  };

  return {
    goOn(limit, takeInput) {
      for (;;) {
        if (places[OUT] > limit) return "full";
        if (block === "none" && isLastBlock) return "done";
        if (!ended && unused() < NEEDED[block]) {
          if (!takeInput()) return "input";
        } else if (block === "codes") {
          places[INPUT_LIMIT] = ended ? inputEnd + 8 : inputEnd - READ_AHEAD;
          places[OUTPUT_LIMIT] = limit;
          return "codes";
        } else if (block === "stored") unpackStored(limit);
        else startBlock();
      }
    },
    stopped(why) {
      if (why === STOPPED.damaged) damaged();
      requireThere();
      if (why === STOPPED.atEnd) block = "none";
    },
    feed(bytes, isLast) {
      const moved = (places[BIT] >> 3) - input;
      memory.copyWithin(input, input + moved, inputEnd);
      memory.set(bytes, inputEnd - moved);
      places[BIT] -= 8 * moved;
      inputEnd += bytes.length - moved;
      ended = isLast;
      if (isLast) memory.fill(0, inputEnd, inputEnd + INPUT_PAD);
    },
    unused,
    out: () => places[OUT],
    moveOut: (by) => void (places[OUT] -= by),
    restart,
  };
}
