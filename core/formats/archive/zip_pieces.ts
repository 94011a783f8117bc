/** The unpacked bytes of a zip file's entry, piece by piece, of entries of any size. */
import zlib from "node:zlib";
import { UserError } from "../../base/errors.ts";
import { decompress, PIECE_BYTES } from "./gzip.ts";
import { shortened, type ZipEntry } from "./zip_listing.ts";

/**
 * Unpacks an entry whose packed bytes begin at `from`; it ends normally only if there are as many bytes as promised, with the right
 * checksum, and nothing packed is left over. A piece is valid until the next one is asked for.
 * @param fail Ends the reading with the problem
 */
export async function* zipPieces(
  file: Deno.FsFile,
  entry: ZipEntry,
  from: number,
  fail: (problem: string) => never,
): AsyncGenerator<Uint8Array, void, void> {
  const { method, packedSize } = entry;
  const name = shortened(entry.name);
  if (method !== 0 && method !== 8) fail(`${name} in it is packed by method ${method}; 0 and 8 can be read`);
  const inflate = method === 8 ? zlib.createInflateRaw({ chunkSize: PIECE_BYTES }) : undefined;
  const to = from + packedSize;
  const pieces = inflate ? decompress(inflate, file, from, to) : storedPieces(file, from, to);
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
    const code = (error as { code?: unknown } | null)?.code;
    if (error instanceof UserError || !String(code).startsWith("Z_")) throw error;
    const why = code === "Z_BUF_ERROR" ? "its packed bytes end too early" : "its packed bytes can't be unpacked";
    fail(`${name} in it is damaged: ${why}`);
  }
  if (size !== entry.size) fail(`${name} in it is damaged: it has ${count(size)} of ${count(entry.size)} bytes`);
  if (inflate && inflate.bytesWritten !== packedSize) fail(`${name} in it is damaged: bytes are left over behind it`);
  if (checksum !== entry.crc32) fail(`${name} in it is damaged: its checksum (CRC-32) is wrong`);
}

async function* storedPieces(file: Deno.FsFile, from: number, to: number): AsyncGenerator<Uint8Array, void, void> {
  await file.seek(from, Deno.SeekMode.Start);
  const piece = new Uint8Array(Math.min(PIECE_BYTES, to - from));
  for (let left = to - from; left > 0;) {
    const got = await file.read(piece.subarray(0, Math.min(piece.length, left)));
    if (!got) return; // The bytes that are missing are noticed by who counts.
    left -= got;
    yield piece.subarray(0, got);
  }
}

function count(bytes: number): string {
  return bytes.toLocaleString("en-US");
}
