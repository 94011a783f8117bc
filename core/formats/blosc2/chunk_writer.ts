/** Chunks of a blosc2 frame, packed by zstd, each block in one stream. */
import { constants, zstdCompressSync } from "node:zlib";
import { CHUNK_HEADER_BYTES, SHUFFLE } from "./chunk.ts";
import { shuffle } from "./filters.ts";
import { LEVEL, ZSTD_COMPRESSOR } from "./frame_writer.ts";

/** Flags of a chunk: an extended header, never split, zstd; and of one that is not packed. */
const PACKED = 0x05 | 0x10 | (4 << 5);
const RAW = 0x05 | 0x02;
/** blosc2 has no checksums; with zstd's own a damaged block is found. */
const OPTIONS = { params: { [constants.ZSTD_c_compressionLevel]: LEVEL, [constants.ZSTD_c_checksumFlag]: 1 } };

/**
 * Packs a chunk.
 * @param blocks Its blocks, one after the other
 * @param room Of a block's size
 * @returns the chunk's parts, to be written one after the other
 */
export function packChunk(
  blocks: Uint8Array,
  blockBytes: number,
  typeBytes: number,
  shuffled: boolean,
  room: Uint8Array,
): readonly Uint8Array[] {
  const count = blocks.length / blockBytes;
  const head = new Uint8Array(CHUNK_HEADER_BYTES + 4 * count);
  const view = new DataView(head.buffer);
  const parts: Uint8Array[] = [head];
  let at = head.length;
  for (let i = 0; i < count; i++) {
    view.setInt32(CHUNK_HEADER_BYTES + 4 * i, at, true);
    const stream = packBlock(blocks.subarray(i * blockBytes, (i + 1) * blockBytes), typeBytes, shuffled, room);
    const length = new Uint8Array(4);
    new DataView(length.buffer).setInt32(0, stream.length, true);
    parts.push(length, stream);
    at += length.length + stream.length;
  }
  if (at > CHUNK_HEADER_BYTES + blocks.length) return rawChunk(blocks, blockBytes, typeBytes);
  putHeader(view, PACKED, typeBytes, blocks.length, blockBytes, at);
  if (shuffled) head[21] = SHUFFLE;
  return parts;
}

/** A chunk of bytes as they are. */
export function rawChunk(bytes: Uint8Array, blockBytes: number, typeBytes: number): readonly Uint8Array[] {
  const head = new Uint8Array(CHUNK_HEADER_BYTES);
  const all = CHUNK_HEADER_BYTES + bytes.length;
  putHeader(new DataView(head.buffer), RAW, typeBytes, bytes.length, blockBytes, all);
  return [head, bytes];
}

/** A stream; empty for zeros, and of the block's length for one that does not get shorter. */
function packBlock(block: Uint8Array, typeBytes: number, shuffled: boolean, room: Uint8Array): Uint8Array {
  if (isZero(block)) return new Uint8Array(0);
  if (shuffled) shuffle(block, room, typeBytes);
  const bytes = shuffled ? room : block;
  const packed = zstdCompressSync(bytes, OPTIONS);
  return packed.length < bytes.length ? packed : bytes.slice();
}

function isZero(bytes: Uint8Array): boolean {
  for (let i = 0; i < bytes.length; i++) if (bytes[i] !== 0) return false;
  return true;
}

function putHeader(
  view: DataView,
  flags: number,
  typeBytes: number,
  bytes: number,
  blockBytes: number,
  packedBytes: number,
): void {
  view.setUint8(0, 5); // version of the format
  view.setUint8(1, 1); // and of the codec's
  view.setUint8(2, flags);
  view.setUint8(3, typeBytes);
  view.setInt32(4, bytes, true);
  view.setInt32(8, blockBytes, true);
  view.setInt32(12, packedBytes, true);
  view.setUint8(22, ZSTD_COMPRESSOR);
}
