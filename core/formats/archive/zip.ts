/**
 * Reading zip files by ranges, with zip64: bytes of stored (or deflated) entries when asked for, or an entry's piece by piece.
 * Of its own because a checkpoint's tensors are read synchronously, a slice of a stored entry at a time, while @zip.js/zip.js
 * hands out whole entries asynchronously; and because a model's zip comes from anywhere, and is held to what its bytes say (every
 * name as stored, no two entries on the same bytes), which a library that makes the best of an odd file does not show.
 * Format: PKWARE APPNOTE 6.3.10.
 */
import { constants, crc32, inflateRawSync } from "node:zlib";
import { UserError } from "../../base/errors.ts";
import { refuseSpecialFile } from "../../base/odd_file.ts";
import { shortName } from "../../base/path_name.ts";
import { readError } from "../../base/read_error.ts";
import type { InflateLane } from "./inflate.ts";
import { zipPieces } from "./zip_pieces.ts";
import { LOCAL_HEADER_BYTES, LOCAL_SIGNATURE, readZipListing, viewOf, type ZipEntry } from "./zip_listing.ts";

export type { ZipEntry } from "./zip_listing.ts";

/** An open zip file. */
export interface ZipFile extends Disposable {
  readonly path: string;
  /** Bytes of the whole file. */
  readonly fileSize: number;
  /** By name, in the central directory's order. */
  readonly entries: ReadonlyMap<string, ZipEntry>;
  /**
   * `length` unpacked bytes of an entry from `offset` on; where that is all of it, its checksum is verified.
   * @throws UserError if the file ends before, or is damaged.
   */
  read(entry: ZipEntry, offset?: number, length?: number): Uint8Array<ArrayBuffer>;
  /** The first unpacked bytes of an entry, as many as `packed` of its packed ones make; nothing is verified. @throws if they make none */
  start(entry: ZipEntry, packed: number): Uint8Array;
  /** Where in the file an entry's bytes start, as stored. @throws UserError if no entry starts where the file says */
  offsetOf(entry: ZipEntry): number;
  /**
   * All unpacked bytes of an entry in order, in pieces of a megabyte at most, each valid until the next one is asked for. One entry at
   * a time, and no {@link read} meanwhile.
   * What was given is right only once the last piece came: then size and checksum have been verified.
   * @param lane Where it is unpacked, so that another file's entry can be beside it
   * @throws UserError if the file ends before, or is damaged
   */
  pieces(entry: ZipEntry, lane?: InflateLane): AsyncGenerator<Uint8Array, void, void>;
}

export interface ZipKind {
  /** What the file should be, for errors: "checkpoint". */
  readonly kind: string;
  /** What to do about one that is damaged. */
  readonly remedy: string;
  /**
   * Entries that unpack to more than {@link FREE_BYTES} may do so by this factor and no more. Deflate reaches 1032 with constant
   * arrays; weights, which are noise, are hardly packed at all.
   */
  readonly maxRatio?: number;
}

/** A larger factor is none of deflate's. */
const MAX_DEFLATE_RATIO = 1100;
const FREE_BYTES = 64 * 2 ** 20;

/**
 * Opens a zip file and reads its central directory.
 * @throws UserError if it is not there, empty, not a zip, cut off, or its entries overlap.
 */
export function openZip(path: string, doing: string, kind: ZipKind): ZipFile {
  let file: Deno.FsFile | undefined;
  try {
    refuseSpecialFile(path, doing);
    file = Deno.openSync(path, { read: true });
    const { size, isDirectory } = file.statSync();
    if (!isDirectory) return zipFile(file, size, path, doing, kind);
  } catch (error) {
    file?.close();
    throw readError(error, path, doing);
  }
  file.close();
  throw new UserError({ doing, file: path, problem: "it is a folder, a file is needed", remedy: "check the name" });
}

function zipFile(file: Deno.FsFile, fileSize: number, path: string, doing: string, zipKind: ZipKind): ZipFile {
  const { kind, remedy, maxRatio = MAX_DEFLATE_RATIO } = zipKind;
  const fail = (problem: string): never => {
    throw new UserError({ doing, file: path, problem, remedy });
  };
  const readAt = (offset: number, length: number): Uint8Array<ArrayBuffer> => {
    if (!(offset >= 0 && offset + length <= fileSize)) {
      const wanted = `bytes up to ${count(offset + length)} are needed, there are ${count(fileSize)}`;
      fail(`the ${kind} is cut off or damaged: ${wanted}`);
    }
    return readExactly(file, offset, length, fail);
  };
  const entries = readZipListing(readAt, fileSize, kind, fail);

  const dataOffset = (entry: ZipEntry): number => {
    const header = viewOf(readAt(entry.headerOffset, LOCAL_HEADER_BYTES));
    if (header.getUint32(0, true) !== LOCAL_SIGNATURE) {
      fail(`the ${kind} is damaged where ${shortName(entry.name)} should start`);
    }
    return entry.headerOffset + LOCAL_HEADER_BYTES + header.getUint16(26, true) + header.getUint16(28, true);
  };
  const unpack = (entry: ZipEntry): Uint8Array<ArrayBuffer> => {
    const { name, size, packedSize } = entry;
    const ratio = size > FREE_BYTES ? maxRatio : MAX_DEFLATE_RATIO;
    if (size > packedSize * ratio + 64) fail(`the sizes of ${shortName(name)} can't be true`);
    try {
      // In one chunk, which is then the result; in zlib's small ones, more time goes into putting them together than into unpacking.
      const chunkSize = Math.max(constants.Z_MIN_CHUNK, size);
      const unpacked = inflateRawSync(readAt(dataOffset(entry), packedSize), { chunkSize, maxOutputLength: size + 1 });
      if (unpacked.length === size) return asWholeBuffer(unpacked);
    } catch (error) {
      if (error instanceof UserError) throw error;
    }
    return fail(`${shortName(name)} in it is damaged: it can't be unpacked to ${count(size)} bytes`);
  };
  // torch writes 0 where it was told to compute no checksums (torch.serialization.set_crc32_options).
  const checked = (entry: ZipEntry, bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> => {
    if (entry.crc32 !== 0 && crc32(bytes) !== entry.crc32) {
      fail(`the ${kind} is damaged: the checksum of ${shortName(entry.name)} in it is wrong`);
    }
    return bytes;
  };

  let recent: { readonly entry: ZipEntry; readonly bytes: Uint8Array<ArrayBuffer> } | undefined;
  return {
    path,
    fileSize,
    entries,
    offsetOf: dataOffset,
    read(entry, offset = 0, length = entry.size - offset) {
      const name = shortName(entry.name);
      if (!(offset >= 0 && length >= 0 && offset + length <= entry.size)) {
        fail(`${name} in it has ${count(entry.size)} bytes, ${count(offset + length)} are needed`);
      }
      const whole = offset === 0 && length === entry.size;
      if (entry.method === 0) {
        const bytes = readAt(dataOffset(entry) + offset, length);
        return whole ? checked(entry, bytes) : bytes;
      }
      if (entry.method !== 8) fail(`${name} in it is packed by method ${entry.method}; 0 and 8 can be read`);
      if (whole) return checked(entry, unpack(entry));
      // Parts of one packed entry are asked for one after the other.
      if (recent?.entry !== entry) recent = { entry, bytes: checked(entry, unpack(entry)) };
      return recent.bytes.slice(offset, offset + length);
    },
    start(entry, packed) {
      const bytes = readAt(dataOffset(entry), Math.min(packed, entry.packedSize));
      return entry.method === 0 ? bytes : inflateRawSync(bytes, { finishFlush: constants.Z_SYNC_FLUSH });
    },
    async *pieces(entry, lane) {
      const at = dataOffset(entry);
      const end = at + entry.packedSize;
      if (end > fileSize) fail(`${shortName(entry.name)} in it reaches over the end of the file`);
      const header = readAt(entry.headerOffset, LOCAL_HEADER_BYTES + entry.nameBytes.length);
      const sameName = entry.nameBytes.every((byte, i) => byte === header[LOCAL_HEADER_BYTES + i]);
      const view = viewOf(header);
      if (
        !sameName || view.getUint16(26, true) !== entry.nameBytes.length || view.getUint16(8, true) !== entry.method
      ) {
        fail(`the ${kind}'s list of contents says something else than what stands before ${shortName(entry.name)}`);
      }
      try {
        yield* zipPieces(file, entry, at, fail, lane);
      } catch (error) {
        throw readError(error, path, doing);
      }
    },
    [Symbol.dispose]() {
      recent = undefined;
      try {
        file.close();
      } catch {
        // Disposing twice is allowed.
      }
    },
  };
}

/** The same bytes as the whole of their buffer; a short result of zlib lies in a larger one. */
function asWholeBuffer(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer } = bytes;
  return buffer instanceof ArrayBuffer && buffer.byteLength === bytes.length
    ? new Uint8Array(buffer)
    : new Uint8Array(bytes);
}

function readExactly(
  file: Deno.FsFile,
  offset: number,
  length: number,
  fail: (problem: string) => never,
): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  file.seekSync(offset, Deno.SeekMode.Start);
  for (let done = 0; done < length;) {
    const read = file.readSync(bytes.subarray(done));
    if (read === null) return fail(`the file ended at byte ${offset + done} while it was being read`);
    done += read;
  }
  return bytes;
}

function count(bytes: number): string {
  return bytes.toLocaleString("en-US");
}
