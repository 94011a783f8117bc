/**
 * The directories of a TIFF file: byte order, classic or BigTIFF, and the fields ("tags") of each page, whose values are read when
 * asked for. Source: TIFF 6.0, section 2; BigTIFF as libtiff and tifffile have it.
 */
import { TiffDamage, TiffRefusal } from "./problem.ts";
import type { TiffSource } from "./source.ts";

/** Where a field's value lies. */
export interface Field {
  readonly code: number;
  readonly type: number;
  readonly count: number;
  /** Position of the value in the file, which may be within the directory. */
  readonly at: number;
}

export interface Directory {
  readonly at: number;
  /** In the file's order; a code may come twice. */
  readonly fields: readonly Field[];
}

export interface TiffFile {
  readonly source: TiffSource;
  readonly littleEndian: boolean;
  readonly big: boolean;
  /** Position of the first directory. */
  readonly first: number;
}

/** Bytes of a value of each type; others are passed over, as tifffile does. */
const TYPE_BYTES: ReadonlyMap<number, number> = new Map([
  ...[1, 2, 6, 7].map((type) => [type, 1] as const),
  ...[3, 8].map((type) => [type, 2] as const),
  ...[4, 9, 11, 13].map((type) => [type, 4] as const),
  ...[5, 10, 12, 16, 17, 18].map((type) => [type, 8] as const),
]);

/** Most fields of a page: tifffile's limit. */
const MOST_FIELDS = 4096;
/** Most pages: more than slices of any volume. */
const MOST_PAGES = 2 ** 16;
/** Longest text that is read, an OME-XML of a hundred thousand planes. */
const MOST_TEXT = 64 * 2 ** 20;

/** Reads the file's first bytes. @throws TiffDamage; TiffRefusal if it is no TIFF */
export async function readTiffHeader(source: TiffSource): Promise<TiffFile> {
  if (source.size === 0) throw new TiffRefusal("the file is empty", "copy the file again");
  const start = await source.bytes(0, Math.min(16, source.size));
  const order = String.fromCharCode(...start.subarray(0, 2));
  const littleEndian = order === "II";
  const view = viewOf(start);
  const version = start.length >= 4 ? view.getUint16(2, littleEndian) : 0;
  if ((order !== "II" && order !== "MM") || (version !== 42 && version !== 43)) {
    throw new TiffRefusal(
      "it is not a TIFF file: the signature is not there",
      "convert the image to TIFF, or copy the file again",
    );
  }
  const big = version === 43;
  if (start.length < (big ? 16 : 8)) throw new TiffDamage("it ends within its header", "cut short");
  if (big && (view.getUint16(4, littleEndian) !== 8 || view.getUint16(6, littleEndian) !== 0)) {
    throw new TiffDamage("its BigTIFF header is wrong");
  }
  const first = big ? uint64(view, 8, littleEndian) : view.getUint32(4, littleEndian);
  return { source, littleEndian, big, first };
}

/** The directories of the file's pages, in order. @throws TiffDamage if they are cut short or go round in a circle */
export async function* pageDirectories(file: TiffFile): AsyncGenerator<Directory, void, void> {
  const seen = new Set<number>();
  for (let at = file.first; at !== 0;) {
    if (seen.has(at)) throw new TiffDamage("its pages follow each other in a circle");
    if (seen.size === MOST_PAGES) {
      throw new TiffRefusal(
        `it has more than ${MOST_PAGES.toLocaleString("en-US")} pages`,
        "save the slices of one image in a file",
      );
    }
    seen.add(at);
    const { directory, next } = await readDirectory(file, at);
    yield directory;
    at = next;
  }
}

/** Reads the directory at a position. @throws TiffDamage */
export async function readDirectory(
  { source, littleEndian, big }: TiffFile,
  at: number,
): Promise<{ readonly directory: Directory; readonly next: number }> {
  const countBytes = big ? 8 : 2;
  const count = number(await source.bytes(at, countBytes), 0, countBytes, littleEndian);
  if (count === 0 || count > MOST_FIELDS) throw new TiffDamage(`a page has ${count.toLocaleString("en-US")} fields`);
  const fieldBytes = big ? 20 : 12;
  const offsetBytes = big ? 8 : 4;
  const start = at + countBytes;
  const bytes = await source.bytes(start, count * fieldBytes + offsetBytes);
  const view = viewOf(bytes);
  const fields: Field[] = [];
  for (let i = 0; i < count; i++) {
    const entry = i * fieldBytes;
    const type = view.getUint16(entry + 2, littleEndian);
    const valueBytes = TYPE_BYTES.get(type);
    if (valueBytes === undefined) continue;
    const values = number(bytes, entry + 4, offsetBytes, littleEndian);
    const place = entry + 4 + offsetBytes;
    const inside = values * valueBytes <= offsetBytes;
    fields.push({
      code: view.getUint16(entry, littleEndian),
      type,
      count: values,
      at: inside ? start + place : number(bytes, place, offsetBytes, littleEndian),
    });
  }
  return { directory: { at, fields }, next: number(bytes, count * fieldBytes, offsetBytes, littleEndian) };
}

/** The first field of a code. */
export function fieldOf({ fields }: Directory, code: number): Field | undefined {
  return fields.find((field) => field.code === code);
}

/**
 * Values `from` .. `from + count` of a field of whole numbers.
 * @throws TiffDamage if they are no whole numbers, or lie beyond the file's end
 */
export async function wholeNumbers(
  { source, littleEndian }: TiffFile,
  { code, type, at }: Field,
  from: number,
  count: number,
): Promise<number[]> {
  const bytes = TYPE_BYTES.get(type) ?? 0;
  if ([2, 5, 7, 10, 11, 12].includes(type)) throw new TiffDamage(`field ${code} is not of whole numbers`);
  const values = await source.bytes(at + from * bytes, count * bytes);
  const view = viewOf(values);
  return Array.from({ length: count }, (_, i) => {
    if (type === 6) return view.getInt8(i);
    if (type === 8) return view.getInt16(2 * i, littleEndian);
    if (type === 9) return view.getInt32(4 * i, littleEndian);
    return number(values, bytes * i, bytes, littleEndian);
  });
}

/**
 * An ASCII field's text without NULs and blanks at its end, UTF-8 or else Windows-1252; undefined where it is of another type.
 * @throws TiffDamage
 */
export async function textOf({ source }: TiffFile, { type, count, at }: Field): Promise<string | undefined> {
  if (type !== 2) return undefined;
  if (count > MOST_TEXT) throw new TiffDamage(`a text of ${count.toLocaleString("en-US")} bytes`);
  const bytes = await source.bytes(at, count);
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end--;
  const text = bytes.subarray(0, end);
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(text).trim();
  } catch {
    return new TextDecoder("windows-1252").decode(text).trim();
  }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** An unsigned number of 1, 2, 4 or 8 bytes. */
function number(bytes: Uint8Array, at: number, width: number, littleEndian: boolean): number {
  const view = viewOf(bytes);
  switch (width) {
    case 1:
      return bytes[at];
    case 2:
      return view.getUint16(at, littleEndian);
    case 4:
      return view.getUint32(at, littleEndian);
    default:
      return uint64(view, at, littleEndian);
  }
}

function uint64(view: DataView, at: number, littleEndian: boolean): number {
  const value = Number(view.getBigUint64(at, littleEndian));
  if (!Number.isSafeInteger(value)) throw new TiffDamage(`a number of 64 bits is ${value}`);
  return value;
}
