/**
 * A chunk of a blosc2 frame: a header, the places of its blocks, and every block packed by itself as one stream, or one for each byte
 * of an element. Source: README_CHUNK_FORMAT.rst, blosc_d and pipeline_backward in blosc/blosc2.c of c-blosc2.
 */
import { unshuffle, unshuffleBits } from "./filters.ts";
import type { Fail } from "./frame.ts";
import { type Codec, CODECS, unpackStream } from "./stream_codecs.ts";

export const CHUNK_HEADER_BYTES = 32;
/** Filters, by the numbers of the format. */
export const SHUFFLE = 1;
const BIT_SHUFFLE = 2;
const DELTA = 3;
const TRUNCATE = 4;
const FILTERS = 6;
const MAX_SPLIT = 16;

export interface ChunkHeader {
  readonly typeBytes: number;
  /** Unpacked, and packed with this header. */
  readonly bytes: number;
  readonly packedBytes: number;
  readonly blockBytes: number;
  /**
   * packed: blocks after their places. raw: the bytes as they are. uninitialised: any, 0 here. value: one that is repeated, after the
   * header.
   */
  readonly content: "packed" | "raw" | "zeros" | "nans" | "value" | "uninitialised";
  readonly codec: Codec;
  readonly isSplit: boolean;
  /** In the order in which they are undone: the filter, and the bytes of what it takes for an element. */
  readonly filters: readonly (readonly [filter: number, elementBytes: number])[];
}

/** What a chunk is whose place says that it has none. */
export function emptyChunk(content: ChunkHeader["content"], typeBytes: number, bytes: number): ChunkHeader {
  return {
    typeBytes,
    bytes,
    packedBytes: CHUNK_HEADER_BYTES,
    blockBytes: bytes,
    content,
    codec: "lz4",
    isSplit: false,
    filters: [],
  };
}

/** @param bytes The first {@link CHUNK_HEADER_BYTES} of the chunk */
export function parseChunkHeader(bytes: Uint8Array, fail: Fail): ChunkHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, CHUNK_HEADER_BYTES);
  const [version, , flags, typeBytes] = bytes;
  const [more, flags2] = [bytes[31], bytes[30]];
  if ((flags & 5) !== 5) fail("a chunk of it has a header of blosc 1");
  if (version < 4 || version > 6) fail(`a chunk of it is of version ${version}, 4 to 6 are read`);
  if (flags2 !== 0) fail("a chunk of it has blocks of variable length");
  if (more & 0x89) fail("a chunk of it was packed with a dictionary, or is no chunk of a file");
  const content = contentOf(flags, (more >> 4) & 7, fail);
  const codec = CODECS.get(flags >> 5);
  if (codec === undefined) return fail(`its codec (${flags >> 5}, ${bytes[22]}) is none of blosc2's own`);
  const [unpacked, blockBytes, packedBytes] = [4, 8, 12].map((at) => view.getInt32(at, true));
  if (typeBytes === 0 || unpacked < 1 || blockBytes < 1 || packedBytes < CHUNK_HEADER_BYTES) {
    fail(`a chunk of it has ${unpacked} bytes, packed ${packedBytes}, in blocks of ${blockBytes}`);
  }
  if (content === "raw" && packedBytes !== unpacked + CHUNK_HEADER_BYTES) {
    fail(`a chunk of ${unpacked} bytes that is not packed has ${packedBytes}`);
  }
  const filters = content === "packed" ? filtersOf(bytes, typeBytes, fail) : [];
  return {
    typeBytes,
    bytes: unpacked,
    packedBytes,
    blockBytes: Math.min(blockBytes, unpacked),
    content,
    codec,
    isSplit: (flags & 16) === 0,
    filters,
  };
}

function contentOf(flags: number, special: number, fail: Fail): ChunkHeader["content"] {
  if (special === 0) return (flags & 2) === 0 ? "packed" : "raw";
  const contents = ["zeros", "nans", "value", "uninitialised"] as const;
  return contents[special - 1] ?? fail(`a chunk of it is of the special kind ${special}`);
}

function filtersOf(bytes: Uint8Array, typeBytes: number, fail: Fail): ChunkHeader["filters"] {
  const filters: (readonly [number, number])[] = [];
  for (let i = FILTERS - 1; i >= 0; i--) {
    const [filter, meta] = [bytes[16 + i], bytes[24 + i]];
    if (filter === 0 || filter === TRUNCATE) continue;
    if (filter > TRUNCATE) fail(`its filter ${filter} is none of blosc2's own`);
    // blosc2 4.14 itself reads other values than were written.
    if (filter === DELTA) fail("it was packed with the delta filter, which is not read");
    filters.push([filter, filter === SHUFFLE && meta !== 0 ? meta : typeBytes]);
  }
  return filters;
}

/** Room to undo filters in: two blocks. */
export type FilterRoom = readonly [Uint8Array, Uint8Array];

export function filterRoom(blockBytes: number): FilterRoom {
  return [new Uint8Array(blockBytes), new Uint8Array(blockBytes)];
}

/**
 * Unpacks a block of a packed chunk.
 * @param packed From the block's first byte to its last
 * @param into The whole block; the last one of a chunk may be shorter than the others
 */
export function unpackBlock(
  { typeBytes, blockBytes, codec, isSplit, filters }: ChunkHeader,
  packed: Uint8Array,
  into: Uint8Array,
  rooms: FilterRoom,
  fail: Fail,
): void {
  const [roomA, roomB] = rooms.map((room) => room.subarray(0, into.length));
  let from = filters.length === 0 ? into : roomA;
  const streams = isSplit && into.length === blockBytes ? typeBytes : 1;
  if (streams > MAX_SPLIT || into.length % streams !== 0) fail(`a block of it is split into ${streams}`);
  unpackStreams(codec, packed, from, streams, fail);
  for (const [i, [filter, elementBytes]] of filters.entries()) {
    const to = i === filters.length - 1 ? into : from === roomA ? roomB : roomA;
    if (filter === BIT_SHUFFLE) unshuffleBits(from, to, elementBytes);
    else unshuffle(from, to, elementBytes);
    from = to;
  }
}

/** Each stream: its length, then its bytes; 0 for zeros, -n and a token for a repeated byte, that of the unpacked for bytes as they are. */
function unpackStreams(codec: Codec, packed: Uint8Array, into: Uint8Array, streams: number, fail: Fail): void {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
  const length = into.length / streams;
  let at = 0;
  for (let i = 0; i < streams; i++) {
    if (at + 4 > packed.length) fail("a block of it is cut off");
    const bytes = view.getInt32(at, true);
    at += 4;
    const part = into.subarray(i * length, (i + 1) * length);
    if (bytes === 0) {
      part.fill(0);
    } else if (bytes < 0) {
      if (bytes < -255 || at >= packed.length || (packed[at] & 1) === 0) fail("a block of it is damaged (no run)");
      at++;
      part.fill(-bytes);
    } else {
      if (bytes > packed.length - at) fail("a block of it is cut off");
      const stream = packed.subarray(at, at + bytes);
      at += bytes;
      if (bytes === length) part.set(stream);
      else if (!unpackStream(codec, stream, part)) fail(`a block of it is damaged (${codec})`);
    }
  }
}
