/**
 * Unpacks raw deflate streams piece by piece, in a memory that stays the same, two at a time. Format: RFC 1951; what is refused is what
 * zlib refuses.
 */
import { type Blocks, createBlocks, DeflateError, READ_BYTES } from "./inflate_blocks.ts";
import { type InflateLoop, inflateModule, LANE_BYTES, OUTPUT_BYTES, PLACES, WINDOW_BYTES } from "./inflate_kernel.ts";

export { DeflateError };

export interface Inflation {
  /** The unpacked bytes, each piece valid until the next one is asked for. @throws DeflateError; what `read` throws */
  readonly pieces: AsyncGenerator<Uint8Array, void, void>;
  /** Packed bytes up to the end of the stream, once the last piece came. */
  readonly taken: () => number;
}

/** Packed bytes that are read first; then four times as many each time: a file may hold very many small streams. */
const FIRST_BYTES = 1 << 12;
/** Unpacked bytes that are handed out at a time, or some more. */
const PIECE_BYTES = 1 << 16;

/**
 * @param read Fills an array from its start with packed bytes; gives how many there were, fewer than asked for only at the end
 * @param lane Of {@link createInflateLanes}, for this stream alone until it is read to its end, or closed
 */
export function inflateRaw(
  read: (into: Uint8Array) => Promise<number>,
  lane: InflateLane = createInflateLanes()[0],
): Inflation {
  let fed = 0;
  async function* pieces(): AsyncGenerator<Uint8Array, void, void> {
    // The next bytes are read while those before are unpacked.
    let buffer = new Uint8Array(FIRST_BYTES);
    let arrived: number | undefined;
    let reading: Promise<void> | undefined;
    const readOn = () => {
      arrived = undefined;
      reading = read(buffer).then((got) => void (arrived = got));
      reading.catch(() => {}); // it is thrown where it is waited for
    };
    lane.open(() => {
      if (arrived === undefined) return false;
      fed += arrived;
      const isLast = arrived < buffer.length;
      lane.feed(buffer.subarray(0, arrived), isLast);
      if (isLast) arrived = undefined;
      else {
        if (buffer.length < READ_BYTES) buffer = new Uint8Array(Math.min(READ_BYTES, 4 * buffer.length));
        readOn();
      }
      return true;
    });
    readOn();
    try {
      for (;;) {
        const state = lane.next();
        if (state === "piece") yield lane.piece();
        else if (state === "input") await reading;
        else return;
      }
    } finally {
      lane.close();
      await reading?.catch(() => {}); // its file may be closed now
    }
  }
  return { pieces: pieces(), taken: () => fed - lane.unused() };
}

/** Where one stream is unpacked. */
export interface InflateLane extends Pick<Blocks, "feed" | "unused"> {
  /** @param takeInput Feeds the lane if packed bytes are there, and says whether they were */
  open(takeInput: () => boolean): void;
  /** Unpacks until there is a piece, or input has to be waited for. @throws DeflateError */
  next(): "piece" | "input" | "done";
  /** What was unpacked since the last one. */
  piece(): Uint8Array;
  close(): void;
}

/** What a lane is to the other one of its memory. */
interface Beside {
  /** Goes on to where the loop can; false if it is not to run. What is wrong with this stream is kept for who reads it. */
  ready(): boolean;
  /** Takes note of why the loop stopped. */
  stopped(why: number): void;
}

interface Pair {
  readonly memory: Uint8Array<ArrayBuffer>;
  readonly alone: readonly InflateLoop[];
  readonly both: InflateLoop;
  readonly lanes: (InflateLane & Beside)[];
}

/** The code without a memory, for all streams of a thread: compiled at the first one. */
const compiled: () => WebAssembly.Module = (() => {
  let module: WebAssembly.Module | undefined;
  return () => module ??= new WebAssembly.Module(inflateModule());
})();

/**
 * Makes two lanes of one memory. Where both are read, piece by piece in turn, the two streams take a sixth less time than one after the
 * other. A lane is for one stream at a time.
 */
export function createInflateLanes(): readonly [InflateLane, InflateLane] {
  const { exports } = new WebAssembly.Instance(compiled());
  const memory = new Uint8Array((exports.memory as WebAssembly.Memory).buffer as ArrayBuffer);
  const { first, second, both } = exports as unknown as Record<"first" | "second" | "both", InflateLoop>;
  const pair: Pair = { memory, alone: [first, second], both, lanes: [] };
  const lanes = [createLane(pair, 0), createLane(pair, 1)] as const;
  pair.lanes.push(...lanes);
  return lanes;
}

/** Gives one lane after the other, of which every two are of one memory. */
export function inflateLanes(): () => InflateLane {
  let left: InflateLane | undefined;
  return () => {
    const [lane, other] = left ? [left] : createInflateLanes();
    left = other;
    return lane;
  };
}

function createLane({ memory, alone, both, lanes }: Pair, index: 0 | 1): InflateLane & Beside {
  const blocks = createBlocks(memory, index);
  const output = index * LANE_BYTES + PLACES.output;
  /** From here on what was unpacked has to be given away first. */
  const full = output + WINDOW_BYTES + OUTPUT_BYTES - 1;
  let takeInput = () => false;
  let isOpen = false;
  let given = output;
  let failure: DeflateError | undefined;

  /** What was given away makes room; as much of it stays as matches reach back to. */
  const makeRoom = (): void => {
    const moved = given - WINDOW_BYTES - output;
    memory.copyWithin(output, output + moved, blocks.out());
    blocks.moveOut(moved);
    given -= moved;
  };
  /** Keeps what is wrong. */
  const attempt = <Result>(work: () => Result): Result | undefined => {
    try {
      return work();
    } catch (error) {
      if (!(error instanceof DeflateError)) throw error;
      failure = error;
      return undefined;
    }
  };

  return {
    open(take) {
      blocks.restart();
      takeInput = take;
      isOpen = true;
      given = output;
      failure = undefined;
    },
    close: () => void (isOpen = false),
    feed: blocks.feed,
    unused: blocks.unused,
    next() {
      if (given > full - OUTPUT_BYTES / 2) makeRoom();
      const limit = Math.min(full, given + PIECE_BYTES - 1);
      for (;;) {
        if (failure) throw failure;
        const state = blocks.goOn(limit, takeInput);
        if (state !== "codes") return state === "full" || blocks.out() > given ? "piece" : state;
        const why = lanes[1 - index].ready() ? both() : alone[index]();
        lanes[why >> 2].stopped(why & 3);
      }
    },
    piece() {
      const piece = memory.subarray(given, blocks.out());
      given = blocks.out();
      return piece;
    },
    ready: () => isOpen && !failure && attempt(() => blocks.goOn(full, takeInput)) === "codes",
    stopped: (why) => attempt(() => blocks.stopped(why)),
  };
}
