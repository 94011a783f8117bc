/** A .b2nd file whose boxes are read: only the blocks that a box meets are read and unpacked, one at a time. */
import { openRangeFile } from "../archive/range_file.ts";
import {
  CHUNK_HEADER_BYTES,
  type ChunkHeader,
  emptyChunk,
  type FilterRoom,
  filterRoom,
  parseChunkHeader,
  unpackBlock,
} from "./chunk.ts";
import { asIntegers, copyBlock, forEachTile, indexOf } from "./tiles.ts";
import {
  B2ND_TYPES,
  type B2ndHeader,
  type B2ndType,
  type Fail,
  FRAME_HEADER_BYTES,
  frameHeaderBytes,
  type FrameLayout,
  parseFrame,
} from "./frame.ts";

export type B2ndData = Int8Array | Uint8Array | Int16Array | Uint16Array | Float32Array;

export interface B2ndFile extends Disposable {
  readonly file: string;
  readonly header: B2ndHeader;
  /**
   * Fills what of the box of `size` elements at `origin` lies in the array; the rest of `into` stays as it is.
   * @param into The box in C order, of the file's type
   * @throws UserError if the file is damaged
   */
  readBox(origin: readonly number[], size: readonly number[], into: B2ndData): void;
}

/** A file that is being read. */
interface Source {
  readonly header: B2ndHeader;
  readonly layout: FrameLayout;
  /** Of each chunk, counted from the first one; below 0 for those that are not stored. */
  readonly offsets: BigInt64Array;
  readonly read: ReadInto;
  readonly fail: Fail;
  readonly chunks: Map<number, OpenChunk>;
  /** Made when a block is read first. */
  room?: Room;
}

interface Room {
  readonly filters: FilterRoom;
  readonly packed: Uint8Array;
  readonly block: Uint8Array<ArrayBuffer>;
}

interface OpenChunk {
  readonly header: ChunkHeader;
  /** In the file. */
  readonly at: number;
  /** First byte of each block and the one behind its last, from the chunk's first byte on. */
  readonly blocks: readonly [starts: Int32Array, ends: Int32Array];
  /** The element that a chunk of the content `value` repeats; empty for others. */
  readonly value: Uint8Array;
}

type ReadInto = (offset: number, bytes: Uint8Array) => void;

/** Places of blocks are kept of as many chunks. */
const OPEN_CHUNKS = 256;
/** What a stream may have more than what it unpacks to: its length. */
const STREAM_OVERHEAD = 4;

/**
 * Opens a file of a contiguous frame. Reads are synchronous.
 * @param remedy What to do about a file that is not as it should be
 * @throws UserError if it is something else, cut off or damaged
 */
export function openB2nd(path: string, doing: string, remedy: string): B2ndFile {
  using stack = new DisposableStack();
  const { size, readAt: read, fail } = stack.use(openRangeFile(path, doing, remedy));
  const start = new Uint8Array(FRAME_HEADER_BYTES);
  read(0, start);
  const bytes = new Uint8Array(frameHeaderBytes(start, size, fail));
  read(0, bytes);
  const { header, layout } = parseFrame(bytes, size, fail);
  const offsets = readOffsets(layout, read, fail);
  const source: Source = { header, layout, offsets, read, fail, chunks: new Map() };
  const open = stack.move();
  return {
    file: path,
    header,
    readBox: (origin, boxSize, into) => readBox(source, origin, boxSize, into),
    [Symbol.dispose]: () => open.dispose(),
  };
}

/** The index of the chunks' places, a chunk itself. */
function readOffsets({ headerBytes, dataBytes, frameBytes, chunkCount }: FrameLayout, read: ReadInto, fail: Fail) {
  const at = headerBytes + dataBytes;
  const { header, blocks: [starts, ends], value } = openStored(at, frameBytes - at, read, fail);
  const offsets = new BigInt64Array(chunkCount);
  const bytes = new Uint8Array(offsets.buffer);
  if (header.bytes !== bytes.length || header.typeBytes !== 8) {
    return fail(`its index has ${header.bytes} bytes, ${bytes.length} are needed`);
  }
  switch (header.content) {
    case "zeros":
      break;
    case "raw":
      read(at + CHUNK_HEADER_BYTES, bytes);
      break;
    case "value":
      repeatValue(bytes, value);
      break;
    case "packed": {
      const room = filterRoom(header.blockBytes);
      for (const [i, start] of starts.entries()) {
        const packed = new Uint8Array(ends[i] - start);
        read(at + start, packed);
        const from = i * header.blockBytes;
        unpackBlock(header, packed, bytes.subarray(from, from + header.blockBytes), room, fail);
      }
      break;
    }
    default:
      fail("its index says of no chunk where it is");
  }
  return offsets;
}

/** The chunk at `at`, of which no more than `room` bytes are there. */
function openStored(at: number, room: number, read: ReadInto, fail: Fail): OpenChunk {
  if (room < CHUNK_HEADER_BYTES) return fail("a chunk of it lies outside the file");
  const bytes = new Uint8Array(CHUNK_HEADER_BYTES);
  read(at, bytes);
  const header = parseChunkHeader(bytes, fail);
  if (header.packedBytes > room) fail("a chunk of it lies outside the file");
  if (header.content === "value") {
    const value = new Uint8Array(header.typeBytes);
    if (header.packedBytes !== CHUNK_HEADER_BYTES + value.length) fail("a repeated value of it is of another type");
    read(at + CHUNK_HEADER_BYTES, value);
    return { ...withoutBlocks(header, at), value };
  }
  if (header.content !== "packed") return withoutBlocks(header, at);
  const count = Math.ceil(header.bytes / header.blockBytes);
  const first = CHUNK_HEADER_BYTES + 4 * count;
  if (first > header.packedBytes) return fail("a chunk of it is shorter than the places of its blocks");
  const starts = new Int32Array(count);
  read(at + CHUNK_HEADER_BYTES, new Uint8Array(starts.buffer));
  // Threads write blocks in the order in which they are done; each ends where the next one begins.
  const sorted = [...starts].sort((a, b) => a - b);
  const next = new Map(sorted.map((start, i) => [start, sorted[i + 1] ?? header.packedBytes]));
  const ends = starts.map((start) => next.get(start) ?? start);
  const longest = header.blockBytes + STREAM_OVERHEAD * header.typeBytes;
  const isWrong = starts.some((start, i) => start < first || ends[i] <= start || ends[i] > header.packedBytes);
  if (isWrong) fail("the places of a chunk's blocks are damaged");
  // A dictionary, or a hole, may lie before the first one only.
  if (starts.some((start, i) => ends[i] - start > longest)) fail("a block of it is longer packed than unpacked");
  return { header, at, blocks: [starts, ends], value: new Uint8Array(0) };
}

function withoutBlocks(header: ChunkHeader, at: number): OpenChunk {
  return { header, at, blocks: [new Int32Array(0), new Int32Array(0)], value: new Uint8Array(0) };
}

function openChunk(source: Source, index: number): OpenChunk {
  const { chunks, layout, offsets, header: { dtype }, read, fail } = source;
  const there = chunks.get(index);
  if (there) return there;
  const one = offsets[index] < 0n ? unstored(offsets[index], source) : openStored(
    layout.headerBytes + placeOf(offsets[index], layout, fail),
    roomAt(offsets[index], layout),
    read,
    fail,
  );
  const { header } = one;
  if (header.bytes !== layout.chunkBytes || header.typeBytes !== B2ND_TYPES[dtype]) {
    fail(`chunk ${index} has ${header.bytes} bytes of a type of ${header.typeBytes}, ${layout.chunkBytes} are needed`);
  }
  if (header.content === "packed" && header.blockBytes !== layout.blockBytes) {
    fail(`chunk ${index} has blocks of ${header.blockBytes} bytes, ${layout.blockBytes} are needed`);
  }
  if (chunks.size >= OPEN_CHUNKS) chunks.clear();
  chunks.set(index, one);
  return one;
}

function placeOf(offset: bigint, { dataBytes }: FrameLayout, fail: Fail): number {
  const place = Number(offset);
  return place < dataBytes ? place : fail("a chunk of it lies outside the file");
}

function roomAt(offset: bigint, { dataBytes }: FrameLayout): number {
  return dataBytes - Number(offset);
}

/** A chunk of zeros, NaNs or nothing: the last byte of its place says which. */
function unstored(offset: bigint, { layout, header: { dtype }, fail }: Source): OpenChunk {
  const kind = Number((offset >> 56n) & 7n);
  const content = ([undefined, "zeros", "nans", undefined, "uninitialised"] as const)[kind];
  if (content === undefined) return fail(`a chunk of it is of the special kind ${kind}`);
  const header = emptyChunk(content, B2ND_TYPES[dtype], layout.chunkBytes);
  return withoutBlocks(header, 0);
}

/** Fills `block` with block `index` of a chunk. */
function readBlock(source: Source, chunk: OpenChunk, index: number, block: Uint8Array, room: Room): void {
  const { read, fail, layout: { blockBytes } } = source;
  const { header, at, blocks: [starts, ends] } = chunk;
  switch (header.content) {
    case "packed": {
      const packed = room.packed.subarray(0, ends[index] - starts[index]);
      read(at + starts[index], packed);
      return unpackBlock(header, packed, block, room.filters, fail);
    }
    case "raw":
      return read(at + CHUNK_HEADER_BYTES + index * blockBytes, block);
    case "nans":
      if (source.header.dtype !== "<f4") return fail("a chunk of it is of NaN, which its type has not");
      new Float32Array(block.buffer, block.byteOffset, block.length / 4).fill(NaN);
      return;
    case "value":
      return repeatValue(block, chunk.value);
    case "zeros":
    case "uninitialised":
      block.fill(0);
  }
}

function repeatValue(into: Uint8Array, value: Uint8Array): void {
  into.set(value);
  for (let there = value.length; there < into.length; there *= 2) into.copyWithin(there, 0, into.length - there);
}

function readBox(source: Source, origin: readonly number[], size: readonly number[], into: B2ndData): void {
  const { header: { shape, chunk, block, dtype }, layout } = source;
  const low = origin.map((first) => Math.max(0, first));
  const high = origin.map((first, axis) => Math.min(shape[axis], first + size[axis]));
  if (low.some((first, axis) => first >= high[axis])) return;
  const room = source.room ??= roomFor(layout, dtype);
  const [values, target] = [room.block, into].map((array) => asIntegers(array, B2ND_TYPES[dtype]));
  forEachTile(low, high, chunk, (chunkAt) => {
    const opened = openChunk(source, indexOf(chunkAt, layout.chunks));
    const chunkOrigin = chunkAt.map((at, axis) => at * chunk[axis]);
    const from = low.map((first, axis) => Math.max(0, first - chunkOrigin[axis]));
    const to = high.map((end, axis) => Math.min(chunk[axis], end - chunkOrigin[axis]));
    forEachTile(from, to, block, (blockAt) => {
      readBlock(source, opened, indexOf(blockAt, layout.blocks), room.block, room);
      const blockOrigin = blockAt.map((at, axis) => chunkOrigin[axis] + at * block[axis]);
      // What lies behind a chunk's end is the next one's.
      const end = blockOrigin.map((at, axis) =>
        Math.min(at + block[axis], chunkOrigin[axis] + chunk[axis], high[axis])
      );
      copyBlock(values, block, blockOrigin, end, low, target, origin, size);
    });
  });
}

function roomFor({ blockBytes }: FrameLayout, dtype: B2ndType): Room {
  return {
    filters: filterRoom(blockBytes),
    packed: new Uint8Array(blockBytes + STREAM_OVERHEAD * B2ND_TYPES[dtype]),
    block: new Uint8Array(blockBytes),
  };
}

/** An array of a file's type. */
export function b2ndArray(dtype: B2ndType, of: number | ArrayBuffer): B2ndData {
  const Type =
    { "|i1": Int8Array, "|u1": Uint8Array, "<i2": Int16Array, "<u2": Uint16Array, "<f4": Float32Array }[dtype];
  // A number of elements and a buffer are two forms of the same constructor.
  return typeof of === "number" ? new Type(of) : new Type(of);
}
