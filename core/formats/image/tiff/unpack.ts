/**
 * The bytes of a strip or tile, unpacked piece by piece. The methods are tifffile's that node:zlib or a few lines do; pictures in
 * pictures (JPEG and its like), fax codes and LZMA are refused by name.
 */
import zlib from "node:zlib";
import { DEFLATE_RATIO, PIECE_BYTES } from "../../archive/gzip.ts";
import { unpackedPieces } from "../../archive/unpacked_pieces.ts";
import { LZW_RATIO, unpackLzw } from "./lzw.ts";
import { TiffDamage, TiffRefusal } from "./problem.ts";
import type { TiffSource } from "./source.ts";

/** Where a strip or tile lies, and how many bytes are wanted of it. */
export interface PackedSegment {
  readonly offset: number;
  /** As stored. */
  readonly bytes: number;
  /** Unpacked; what follows is left. */
  readonly wanted: number;
  /** Unpacked bytes that may follow: of a last strip that is filled up. More are refused. */
  readonly surplus: number;
  readonly lowBitFirst: boolean;
}

export interface Method {
  readonly name: string;
  /** Unpacked bytes of a packed one, at most. */
  readonly ratio: number;
  unpack(source: TiffSource, segment: PackedSegment): AsyncIterable<Uint8Array>;
}

const DEFLATE: Method = {
  name: "deflate",
  ratio: DEFLATE_RATIO,
  unpack: (source, segment) => inflated(source, segment, "deflate"),
};
const ZSTD: Method = {
  name: "Zstandard",
  ratio: 1 << 15,
  unpack: (source, segment) => inflated(source, segment, "zstd"),
};

const METHODS: ReadonlyMap<number, Method> = new Map<number, Method>([
  [1, { name: "none", ratio: 1, unpack: storedPieces }],
  [5, { name: "LZW", ratio: LZW_RATIO, unpack: lzwPieces }],
  [8, DEFLATE],
  [32946, DEFLATE],
  [50013, DEFLATE],
  [32773, { name: "PackBits", ratio: 64, unpack: (source, segment) => unpackBits(storedPieces(source, segment)) }],
  [50000, ZSTD],
  [34926, ZSTD],
]);

const REFUSED: ReadonlyMap<number, string> = new Map([
  [2, "CCITT fax (Huffman)"],
  [3, "CCITT fax, group 3"],
  [4, "CCITT fax, group 4"],
  [6, "old JPEG"],
  [7, "JPEG"],
  [9, "JBIG"],
  [10, "JBIG"],
  [22610, "JPEG XR"],
  [33003, "JPEG 2000"],
  [33004, "JPEG 2000"],
  [33005, "JPEG 2000"],
  [33007, "JPEG"],
  [34712, "JPEG 2000"],
  [34887, "LERC"],
  [34892, "JPEG"],
  [34925, "LZMA"],
  [34927, "WebP"],
  [34933, "PNG"],
  [34934, "JPEG XR"],
  [50001, "WebP"],
  [50002, "JPEG XL"],
  [52546, "JPEG XL"],
]);

/** @throws TiffRefusal naming the method if it is not read */
export function methodOf(compression: number): Method {
  const method = METHODS.get(compression);
  if (method) return method;
  const name = REFUSED.get(compression);
  throw new TiffRefusal(
    `its pixels are packed by ${
      name ? `${name} (compression ${compression})` : `method ${compression}`
    }, which is not read`,
    "save it with deflate (zlib), LZW, PackBits, Zstandard or without compression",
  );
}

/** The packed bytes as stored, in pieces that are valid until the next one is asked for. */
async function* storedPieces(
  source: TiffSource,
  { offset, bytes, lowBitFirst }: PackedSegment,
): AsyncGenerator<Uint8Array, void, void> {
  for (let at = 0; at < bytes; at += PIECE_BYTES) {
    const piece = await source.data(offset + at, Math.min(PIECE_BYTES, bytes - at));
    yield lowBitFirst ? piece.map((byte) => REVERSED[byte]) : piece;
  }
}

const REVERSED = Uint8Array.from({ length: 256 }, (_, byte) => {
  let turned = 0;
  for (let bit = 0; bit < 8; bit++) turned |= ((byte >> bit) & 1) << (7 - bit);
  return turned;
});

async function* lzwPieces(source: TiffSource, segment: PackedSegment): AsyncGenerator<Uint8Array, void, void> {
  const [first, second] = segment.bytes < 2 ? [0, 0] : await source.data(segment.offset, 2);
  if (first === 0 && (second & 1) === 1) {
    throw new TiffRefusal("its pixels are packed by the LZW of before 1988", "save it with deflate (zlib)");
  }
  yield* unpackLzw(storedPieces(source, segment));
}

/** Source: TIFF 6.0, section 9. */
async function* unpackBits(packed: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
  const out = new Uint8Array(PIECE_BYTES);
  let filled = 0;
  let literal = 0;
  let repeat = 0;
  for await (const piece of packed) {
    for (let at = 0; at < piece.length;) {
      if (filled + 128 > out.length) {
        yield out.subarray(0, filled);
        filled = 0;
      }
      if (literal > 0) {
        const count = Math.min(literal, piece.length - at);
        out.set(piece.subarray(at, at + count), filled);
        filled += count;
        at += count;
        literal -= count;
      } else if (repeat > 0) {
        out.fill(piece[at++], filled, filled + repeat);
        filled += repeat;
        repeat = 0;
      } else {
        const code = piece[at++];
        if (code < 128) literal = code + 1;
        else if (code > 128) repeat = 257 - code;
      }
    }
  }
  if (filled > 0) yield out.subarray(0, filled);
}

/** Segments whose packed and unpacked bytes are no more are unpacked at once, which is faster; larger ones piece by piece. */
const AT_ONCE = 4 * PIECE_BYTES;

async function* inflated(
  source: TiffSource,
  segment: PackedSegment,
  kind: "deflate" | "zstd",
): AsyncGenerator<Uint8Array, void, void> {
  const most = segment.wanted + segment.surplus;
  if (segment.bytes <= PIECE_BYTES && most <= AT_ONCE) {
    for await (const piece of storedPieces(source, segment)) {
      const options = { maxOutputLength: most, chunkSize: Math.max(64, most) };
      yield kind === "zstd" ? zlib.zstdDecompressSync(piece, options) : zlib.inflateSync(piece, options);
    }
    return;
  }
  const stream = kind === "zstd"
    ? zlib.createZstdDecompress({ chunkSize: PIECE_BYTES })
    : zlib.createInflate({ chunkSize: PIECE_BYTES });
  yield* unpackedPieces(stream, storedPieces(source, segment));
}

/** What packs the data, in the words of errors; `error` itself where it is none of unpacking's. */
export function unpackingError(error: unknown): unknown {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  if (code === "ERR_BUFFER_TOO_LARGE") return new TiffDamage("a strip or tile unpacks to more than its pixels");
  if (code === "Z_BUF_ERROR") return new TiffDamage("a strip or tile ends before its packed data do", "cut short");
  return code.startsWith("Z") ? new TiffDamage(`packed data: ${(error as Error).message}`) : error;
}
