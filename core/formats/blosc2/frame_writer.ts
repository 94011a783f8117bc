/** The header and the trailer of a blosc2 frame that holds an array, as blosc2 writes them (core/formats/blosc2/frame.ts reads them). */
import { B2ND_TYPES, type B2ndHeader, FRAME_HEADER_BYTES, type FrameLayout } from "./frame.ts";

/** blosc2's number of zstd, which a frame's header and a chunk's have beside the format's. */
export const ZSTD_COMPRESSOR = 5;
/** Of the level no reader makes use. */
export const LEVEL = 3;
const SHUFFLED = 1;

/** Of a frame with the one metalayer b2nd. */
export function headerBytesOf({ shape, dtype }: Pick<B2ndHeader, "shape" | "dtype">): number {
  // Before it: the index of metalayers, and the length of this one.
  return FRAME_HEADER_BYTES + 25 + arrayBytes(shape.length, dtype);
}

function arrayBytes(dimensions: number, dtype: string): number {
  return 3 + 3 + dimensions * (9 + 5 + 5) + 1 + 5 + dtype.length;
}

/** @param shuffled Whether chunks are; each says so itself, too */
export function frameHeader(array: B2ndHeader, layout: FrameLayout, shuffled: boolean): Uint8Array<ArrayBuffer> {
  const { dtype, shape, chunk, block } = array;
  const bytes = new Uint8Array(layout.headerBytes);
  const view = new DataView(bytes.buffer);
  let at = 0;
  const put = (...values: readonly number[]) => {
    bytes.set(values, at);
    at += values.length;
  };
  const text = (value: string) => put(...new TextEncoder().encode(value));
  const int = (kind: 0xd2 | 0xd3 | 0xcf, value: number) => {
    put(kind);
    if (kind === 0xd2) view.setInt32(at, value);
    else view.setBigInt64(at, BigInt(value));
    at += kind === 0xd2 ? 4 : 8;
  };
  put(0x9e, 0xa8);
  text("b2frame\0");
  int(0xd2, layout.headerBytes);
  int(0xcf, layout.frameBytes);
  // Version 2, offsets of 64 bits; contiguous; level and compressor; never split.
  put(0xa4, 0x12, 0, (LEVEL << 4) | ZSTD_COMPRESSOR, 1);
  int(0xd3, layout.chunkCount * layout.chunkBytes);
  int(0xd3, layout.dataBytes);
  int(0xd2, B2ND_TYPES[dtype]);
  int(0xd2, layout.blockBytes);
  int(0xd2, layout.chunkBytes);
  // One thread to pack and to unpack; no metalayers in the trailer.
  put(0xd1, 0, 1, 0xd1, 0, 1, 0xc2);
  put(0xd8, 6, 0, 0, 0, 0, 0, shuffled ? SHUFFLED : 0, ZSTD_COMPRESSOR);
  at = FRAME_HEADER_BYTES;
  put(0x93, 0xcd, 0, 17, 0xde, 0, 1, 0xa4);
  text("b2nd");
  int(0xd2, at + 8);
  put(0xdc, 0, 1);
  put(0xc6);
  view.setUint32(at, arrayBytes(shape.length, dtype));
  at += 4;
  put(0x97, 0, shape.length);
  for (const [kind, lengths] of [[0xd3, shape], [0xd2, chunk], [0xd2, block]] as const) {
    put(0x90 + lengths.length);
    for (const length of lengths) int(kind, length);
  }
  put(0, 0xdb);
  view.setUint32(at, dtype.length);
  at += 4;
  text(dtype);
  return bytes;
}

/** Of a frame without metalayers of variable length, and without a fingerprint. */
export function frameTrailer(): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(35);
  bytes.set([0x94, 1, 0x93, 0xcd, 0, 6, 0xde, 0, 0, 0xdc, 0, 0, 0xce, 0, 0, 0, bytes.length, 0xd8]);
  return bytes;
}
