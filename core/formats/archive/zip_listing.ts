/**
 * What a zip file says it holds: its end record and central directory, with zip64. Checked as a whole: entries lie inside the file,
 * one behind the other, each name once. So what can come out of a file is bounded by its size, and no byte is read as two entries.
 * Format: PKWARE APPNOTE 6.3.10.
 */
import { shortName } from "../../base/path_name.ts";

export interface ZipEntry {
  readonly name: string;
  /** Bytes once unpacked. */
  readonly size: number;
  readonly packedSize: number;
  /** 0 stored, 8 deflated. */
  readonly method: number;
  readonly crc32: number;
  readonly headerOffset: number;
  /** The name as it is stored. */
  readonly nameBytes: Uint8Array;
  /** General purpose flags. */
  readonly flags: number;
  /** Attributes of the file: Unix's type and permissions in the upper half, MS-DOS's in the lower. */
  readonly attributes: number;
}

/** Of a central directory: some hundred thousand entries. What is parsed of it is larger. */
const MAX_DIRECTORY_BYTES = 32 * 2 ** 20;

const END_SIGNATURE = 0x06054b50;
const END64_SIGNATURE = 0x06064b50;
const END64_LOCATOR_SIGNATURE = 0x07064b50;
const CENTRAL_SIGNATURE = 0x02014b50;
export const LOCAL_SIGNATURE = 0x04034b50;
export const LOCAL_HEADER_BYTES = 30;

/** Reads `length` bytes at `offset`, and ends the reading where the file does not have them. */
type ReadAt = (offset: number, length: number) => Uint8Array<ArrayBuffer>;
type Fail = (problem: string) => never;

/**
 * The entries of a zip file of `fileSize` bytes, by name, in the central directory's order.
 * @param kind What it should be, for errors: "checkpoint"
 */
export function readZipListing(
  readAt: ReadAt,
  fileSize: number,
  kind: string,
  fail: Fail,
): Map<string, ZipEntry> {
  const { entryCount, directorySize, directoryOffset } = findDirectory(readAt, fileSize, kind, fail);
  const damaged = (why: string) => fail(`the ${kind}'s list of contents is damaged: ${why}`);
  if (directorySize > MAX_DIRECTORY_BYTES) {
    const sizes = [directorySize, MAX_DIRECTORY_BYTES].map((size) => size.toLocaleString("en-US"));
    fail(`the ${kind}'s list of contents has ${sizes[0]} bytes, more than the ${sizes[1]} that are read`);
  }
  const entries = parseDirectory(readAt(directoryOffset, directorySize), entryCount, damaged);
  checkPlaces(entries, directoryOffset, damaged);
  const byName = new Map(entries.map((entry) => [entry.name, entry]));
  if (byName.size < entries.length) damaged("a name is there twice");
  return byName;
}

interface Directory {
  readonly entryCount: number;
  readonly directorySize: number;
  readonly directoryOffset: number;
}

function findDirectory(readAt: ReadAt, fileSize: number, kind: string, fail: Fail): Directory {
  const bytes = fileSize.toLocaleString("en-US");
  if (fileSize === 0) fail(`the ${kind} is empty (0 bytes)`);
  const start = readAt(0, Math.min(4, fileSize));
  const looksLikeZip = start.length === 4 && viewOf(start).getUint32(0, true) === LOCAL_SIGNATURE;

  // The end record is the last thing in the file but for a comment of at most 65535 bytes.
  const tail = readAt(Math.max(0, fileSize - 65557), Math.min(fileSize, 65557));
  const view = viewOf(tail);
  let end = tail.length - 22;
  while (end >= 0 && view.getUint32(end, true) !== END_SIGNATURE) end--;
  if (end < 0) {
    if (looksLikeZip) fail(`the ${kind} is cut off: its end is missing, ${bytes} bytes are there`);
    fail(`it is not a ${kind}: a zip file is needed, this one is something else (${bytes} bytes)`);
  }
  if ((view.getUint16(end + 4, true) + 1) % 0x10000 > 1) fail(`the ${kind} is one of several parts of a zip file`);
  const entryCount = view.getUint16(end + 10, true);
  const directorySize = view.getUint32(end + 12, true);
  const directoryOffset = view.getUint32(end + 16, true);
  if (entryCount === 0xffff || directorySize === 0xffffffff || directoryOffset === 0xffffffff) {
    const locatorOffset = fileSize - tail.length + end - 20;
    const locator = locatorOffset >= 0 ? viewOf(readAt(locatorOffset, 20)) : undefined;
    if (locator?.getUint32(0, true) === END64_LOCATOR_SIGNATURE) {
      const record = viewOf(readAt(Number(locator.getBigUint64(8, true)), 56));
      if (record.getUint32(0, true) !== END64_SIGNATURE) fail(`the ${kind}'s zip64 end record is damaged`);
      return {
        entryCount: Number(record.getBigUint64(32, true)),
        directorySize: Number(record.getBigUint64(40, true)),
        directoryOffset: Number(record.getBigUint64(48, true)),
      };
    }
  }
  return { entryCount, directorySize, directoryOffset };
}

function parseDirectory(bytes: Uint8Array, entryCount: number, damaged: Fail): ZipEntry[] {
  const view = viewOf(bytes);
  const entries: ZipEntry[] = [];
  let at = 0;
  for (let i = 0; i < entryCount; i++) {
    if (at + 46 > bytes.length || view.getUint32(at, true) !== CENTRAL_SIGNATURE) {
      damaged(`it has ${i} of ${entryCount} entries`);
    }
    const nameLength = view.getUint16(at + 28, true);
    const extraLength = view.getUint16(at + 30, true);
    const extraAt = at + 46 + nameLength;
    const next = extraAt + extraLength + view.getUint16(at + 32, true);
    if (next > bytes.length) damaged(`entry ${i} reaches over its end`);
    const sizes = [view.getUint32(at + 24, true), view.getUint32(at + 20, true), view.getUint32(at + 42, true)];
    readZip64(view, extraAt, extraAt + extraLength, sizes);
    const nameBytes = bytes.subarray(at + 46, extraAt);
    entries.push({
      name: new TextDecoder().decode(nameBytes),
      size: sizes[0],
      packedSize: sizes[1],
      headerOffset: sizes[2],
      method: view.getUint16(at + 10, true),
      crc32: view.getUint32(at + 16, true),
      nameBytes,
      flags: view.getUint16(at + 8, true),
      attributes: view.getUint32(at + 38, true),
    });
    at = next;
  }
  if (at !== bytes.length) damaged(`more stands in it than its ${entryCount} entries`);
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

function checkPlaces(entries: readonly ZipEntry[], directoryOffset: number, damaged: Fail): void {
  let end = 0;
  for (const entry of entries.toSorted((a, b) => a.headerOffset - b.headerOffset)) {
    const { name, method, size, packedSize, headerOffset } = entry;
    if (headerOffset < end) damaged(`${shortName(name)} overlaps another entry`);
    // Its header is as long as this at least.
    end = headerOffset + LOCAL_HEADER_BYTES + packedSize;
    if (!(end <= directoryOffset)) damaged(`${shortName(name)} reaches into it`);
    if (method === 0 && size !== packedSize) damaged(`${shortName(name)} is stored and has two sizes`);
  }
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
