/**
 * Reading zip files by ranges, with zip64: the central directory, and bytes of stored (or deflated) entries when asked for.
 * Of its own because a checkpoint's tensors are read synchronously, a slice of a stored entry at a time, while @zip.js/zip.js
 * hands out whole entries asynchronously. Format: PKWARE APPNOTE 6.3.10.
 */
import { crc32, inflateRawSync } from "node:zlib";
import { UserError } from "../../base/errors.ts";

export interface ZipEntry {
  readonly name: string;
  /** Bytes once unpacked. */
  readonly size: number;
  readonly packedSize: number;
  /** 0 stored, 8 deflated. */
  readonly method: number;
  readonly crc32: number;
  readonly headerOffset: number;
}

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
}

const END_SIGNATURE = 0x06054b50;
const END64_SIGNATURE = 0x06064b50;
const END64_LOCATOR_SIGNATURE = 0x07064b50;
const CENTRAL_SIGNATURE = 0x02014b50;
const LOCAL_SIGNATURE = 0x04034b50;
/** An unpacked entry larger than this share of its packed bytes is a zip bomb: deflate reaches 1032 at most. */
const MAX_DEFLATE_RATIO = 1100;

/**
 * Opens a zip file and reads its central directory.
 * @param kind What it should be, for errors: "checkpoint".
 * @throws UserError if it is not there, empty, not a zip, or cut off.
 */
export function openZip(path: string, doing: string, kind: string): ZipFile {
  const file = openFile(path, doing);
  try {
    return readDirectory(file, path, doing, kind);
  } catch (error) {
    file.close();
    throw error;
  }
}

function openFile(path: string, doing: string): Deno.FsFile {
  try {
    const file = Deno.openSync(path, { read: true });
    if (!file.statSync().isDirectory) return file;
    file.close();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) {
      throw new UserError({ doing, file: path, problem: "there is no such file" }, { cause: error });
    }
    if (error instanceof Deno.errors.PermissionDenied || error instanceof Deno.errors.NotCapable) {
      const remedy = "check its permissions";
      throw new UserError({ doing, file: path, problem: "it may not be read", remedy }, { cause: error });
    }
    if (!(error instanceof Deno.errors.IsADirectory)) throw error;
  }
  throw new UserError({ doing, file: path, problem: "it is a folder, a file is needed" });
}

function readDirectory(file: Deno.FsFile, path: string, doing: string, kind: string): ZipFile {
  const fileSize = file.statSync().size;
  const fail = (problem: string, remedy = "copy the file again from where it came from"): never => {
    throw new UserError({ doing, file: path, problem, remedy });
  };
  const readAt = (offset: number, length: number): Uint8Array<ArrayBuffer> => {
    if (!(offset >= 0 && offset + length <= fileSize)) {
      fail(
        `the ${kind} is cut off or damaged: bytes up to ${count(offset + length)} are needed, there are ${
          count(fileSize)
        }`,
      );
    }
    return readExactly(file, offset, length);
  };

  if (fileSize === 0) fail(`the ${kind} is empty (0 bytes)`);
  const start = readAt(0, Math.min(4, fileSize));
  const looksLikeZip = start.length === 4 && viewOf(start).getUint32(0, true) === LOCAL_SIGNATURE;

  // The end record is the last thing in the file but for a comment of at most 65535 bytes.
  const tail = readAt(Math.max(0, fileSize - 65557), Math.min(fileSize, 65557));
  const tailView = viewOf(tail);
  let end = tail.length - 22;
  while (end >= 0 && tailView.getUint32(end, true) !== END_SIGNATURE) end--;
  if (end < 0) {
    if (looksLikeZip) fail(`the ${kind} is cut off: its end is missing, ${count(fileSize)} bytes are there`);
    fail(`it is not a ${kind}: a zip file is needed, this one is something else (${count(fileSize)} bytes)`);
  }
  let entryCount = tailView.getUint16(end + 10, true);
  let directorySize = tailView.getUint32(end + 12, true);
  let directoryOffset = tailView.getUint32(end + 16, true);
  if (entryCount === 0xffff || directorySize === 0xffffffff || directoryOffset === 0xffffffff) {
    const locatorOffset = fileSize - tail.length + end - 20;
    const locator = locatorOffset >= 0 ? viewOf(readAt(locatorOffset, 20)) : undefined;
    if (locator?.getUint32(0, true) === END64_LOCATOR_SIGNATURE) {
      const record = viewOf(readAt(Number(locator.getBigUint64(8, true)), 56));
      if (record.getUint32(0, true) !== END64_SIGNATURE) fail(`the ${kind}'s zip64 end record is damaged`);
      entryCount = Number(record.getBigUint64(32, true));
      directorySize = Number(record.getBigUint64(40, true));
      directoryOffset = Number(record.getBigUint64(48, true));
    }
  }

  const entries = parseDirectory(readAt(directoryOffset, directorySize), entryCount, () => {
    fail(`the ${kind}'s list of contents is damaged`);
  });

  const dataOffset = (entry: ZipEntry): number => {
    const header = viewOf(readAt(entry.headerOffset, 30));
    if (header.getUint32(0, true) !== LOCAL_SIGNATURE) fail(`the ${kind} is damaged where ${entry.name} should start`);
    return entry.headerOffset + 30 + header.getUint16(26, true) + header.getUint16(28, true);
  };
  const unpack = (entry: ZipEntry): Uint8Array<ArrayBuffer> => {
    if (entry.size > entry.packedSize * MAX_DEFLATE_RATIO + 64) fail(`the sizes of ${entry.name} can't be true`);
    try {
      const unpacked = inflateRawSync(readAt(dataOffset(entry), entry.packedSize), { maxOutputLength: entry.size + 1 });
      if (unpacked.length === entry.size) return new Uint8Array(unpacked);
    } catch (error) {
      if (error instanceof UserError) throw error;
    }
    return fail(`${entry.name} in it is damaged: it can't be unpacked to ${count(entry.size)} bytes`);
  };

  // torch writes 0 where it was told to compute no checksums (torch.serialization.set_crc32_options).
  const checked = (entry: ZipEntry, bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> => {
    if (entry.crc32 !== 0 && crc32(bytes) !== entry.crc32) {
      fail(`the ${kind} is damaged: the checksum of ${entry.name} in it is wrong`);
    }
    return bytes;
  };

  return {
    path,
    fileSize,
    entries,
    read(entry, offset = 0, length = entry.size - offset) {
      if (!(offset >= 0 && length >= 0 && offset + length <= entry.size)) {
        fail(`${entry.name} in it has ${count(entry.size)} bytes, ${count(offset + length)} are needed`);
      }
      if (entry.method !== 0 && entry.method !== 8) {
        fail(`${entry.name} in it is packed by method ${entry.method}; only stored and deflated entries can be read`);
      }
      const whole = offset === 0 && length === entry.size;
      if (entry.method === 0) {
        const bytes = readAt(dataOffset(entry) + offset, length);
        return whole ? checked(entry, bytes) : bytes;
      }
      const unpacked = checked(entry, unpack(entry));
      return whole ? unpacked : unpacked.slice(offset, offset + length);
    },
    [Symbol.dispose]() {
      try {
        file.close();
      } catch {
        // Disposing twice is allowed.
      }
    },
  };
}

function parseDirectory(bytes: Uint8Array, entryCount: number, damaged: () => void): Map<string, ZipEntry> {
  const view = viewOf(bytes);
  const entries = new Map<string, ZipEntry>();
  let at = 0;
  for (let i = 0; i < entryCount; i++) {
    if (at + 46 > bytes.length || view.getUint32(at, true) !== CENTRAL_SIGNATURE) {
      damaged();
      break;
    }
    const nameLength = view.getUint16(at + 28, true);
    const extraLength = view.getUint16(at + 30, true);
    const extraAt = at + 46 + nameLength;
    const next = extraAt + extraLength + view.getUint16(at + 32, true);
    if (next > bytes.length) {
      damaged();
      break;
    }
    const name = new TextDecoder().decode(bytes.subarray(at + 46, extraAt));
    const sizes = [
      view.getUint32(at + 24, true),
      view.getUint32(at + 20, true),
      view.getUint32(at + 42, true),
    ];
    readZip64(view, extraAt, extraAt + extraLength, sizes);
    entries.set(name, {
      name,
      size: sizes[0],
      packedSize: sizes[1],
      headerOffset: sizes[2],
      method: view.getUint16(at + 10, true),
      crc32: view.getUint32(at + 16, true),
    });
    at = next;
  }
  return entries;
}

/** Replaces those of (size, packed size, header offset) that are 0xffffffff by the 64-bit numbers of extra field 1. */
function readZip64(view: DataView, from: number, to: number, sizes: number[]): void {
  for (let at = from; at + 4 <= to;) {
    const end = at + 4 + view.getUint16(at + 2, true);
    if (view.getUint16(at, true) === 1) {
      let field = at + 4;
      sizes.forEach((size, index) => {
        if (size !== 0xffffffff || field + 8 > Math.min(end, to)) return;
        sizes[index] = Number(view.getBigUint64(field, true));
        field += 8;
      });
    }
    at = end;
  }
}

function readExactly(file: Deno.FsFile, offset: number, length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  file.seekSync(offset, Deno.SeekMode.Start);
  let done = 0;
  while (done < length) {
    const read = file.readSync(bytes.subarray(done));
    if (read === null) throw new Error(`file ended at byte ${offset + done} while it was being read`);
    done += read;
  }
  return bytes;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function count(bytes: number): string {
  return bytes.toLocaleString("en-US");
}
