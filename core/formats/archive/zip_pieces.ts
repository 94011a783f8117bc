/** The unpacked bytes of a zip file's entry, piece by piece, of entries of any size. */
import zlib from "node:zlib";
import { shortName } from "../../base/path_name.ts";
import { fill, PIECE_BYTES } from "./gzip.ts";
import { DeflateError, type InflateLane, inflateRaw } from "./inflate.ts";
import type { ZipEntry } from "./zip_listing.ts";

/**
 * Unpacks an entry whose packed bytes begin at `from`; it ends normally only if there are as many bytes as promised, with the right
 * checksum, and nothing packed is left over. A piece is valid until the next one is asked for.
 * @param fail Ends the reading with the problem
 * @param lane Where a packed entry is unpacked, if not in a memory of its own
 */
export async function* zipPieces(
  file: Deno.FsFile,
  entry: ZipEntry,
  from: number,
  fail: (problem: string) => never,
  lane?: InflateLane,
): AsyncGenerator<Uint8Array, void, void> {
  const { method, packedSize } = entry;
  const name = shortName(entry.name);
  if (method !== 0 && method !== 8) fail(`${name} in it is packed by method ${method}; 0 and 8 can be read`);
  await file.seek(from, Deno.SeekMode.Start);
  const read = readerOf(file, packedSize);
  const inflation = method === 8 ? inflateRaw(read, lane) : undefined;
  const pieces = inflation?.pieces ?? storedPieces(read, packedSize);
  let size = 0;
  let checksum = 0;
  try {
    for await (const piece of pieces) {
      size += piece.length;
      if (size > entry.size) fail(`${name} in it is damaged: it unpacks to more than ${count(entry.size)} bytes`);
      checksum = zlib.crc32(piece, checksum);
      yield piece;
    }
  } catch (error) {
    if (!(error instanceof DeflateError)) throw error;
    const why = error.endsEarly ? "its packed bytes end too early" : "its packed bytes can't be unpacked";
    fail(`${name} in it is damaged: ${why}`);
  }
  if (size !== entry.size) fail(`${name} in it is damaged: it has ${count(size)} of ${count(entry.size)} bytes`);
  if (inflation && inflation.taken() !== packedSize) fail(`${name} in it is damaged: bytes are left over behind it`);
  if (checksum !== entry.crc32) fail(`${name} in it is damaged: its checksum (CRC-32) is wrong`);
}

/** Reads on, `bytes` at most. The bytes that a file lacks are noticed by who counts. */
function readerOf(file: Deno.FsFile, bytes: number): (into: Uint8Array) => Promise<number> {
  let left = bytes;
  return async (into) => {
    const got = await fill(into.subarray(0, Math.min(into.length, left)), (rest) => file.read(rest));
    left -= got;
    return got;
  };
}

async function* storedPieces(
  read: (into: Uint8Array) => Promise<number>,
  bytes: number,
): AsyncGenerator<Uint8Array, void, void> {
  const piece = new Uint8Array(Math.min(PIECE_BYTES, bytes));
  for (let got = await read(piece); got > 0; got = await read(piece)) yield piece.subarray(0, got);
}

function count(bytes: number): string {
  return bytes.toLocaleString("en-US");
}
