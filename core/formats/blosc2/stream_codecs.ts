/** The codecs of blosc2's compressed streams. LZ4HC writes what LZ4 reads. */
import { inflateSync, zstdDecompressSync } from "node:zlib";
import { unpackBlosclz } from "./blosclz.ts";
import { unpackLz4 } from "./lz4_block.ts";

export type Codec = "blosclz" | "lz4" | "zlib" | "zstd";

/** By their numbers in a chunk's flags. */
export const CODECS = new Map<number, Codec>([
  [0, "blosclz"],
  [1, "lz4"],
  [3, "zlib"],
  [4, "zstd"],
]);

/**
 * Unpacks one stream, which has to fill `into` exactly.
 * @returns false if it is damaged, or unpacks to another number of bytes
 */
export function unpackStream(codec: Codec, from: Uint8Array, into: Uint8Array): boolean {
  switch (codec) {
    case "blosclz":
      return unpackBlosclz(from, into);
    case "lz4":
      return unpackLz4(from, into);
    case "zlib":
      return unpackBy(inflateSync, from, into);
    case "zstd":
      return unpackBy(zstdDecompressSync, from, into);
  }
}

type Unpack = (from: Uint8Array, options: { readonly maxOutputLength: number }) => Uint8Array;

function unpackBy(unpack: Unpack, from: Uint8Array, into: Uint8Array): boolean {
  let bytes: Uint8Array;
  try {
    bytes = unpack(from, { maxOutputLength: into.length });
  } catch (error) {
    // Damaged, or longer than the limit.
    if (error instanceof Error) return false;
    throw error;
  }
  if (bytes.length !== into.length) return false;
  into.set(bytes);
  return true;
}
