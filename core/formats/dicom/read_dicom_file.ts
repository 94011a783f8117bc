/** Reads a DICOM file up to its pixels, of which it tells the place. */
import { inflateRawSync } from "node:zlib";
import { describeBytes } from "../../base/describe_bytes.ts";
import { UserError } from "../../base/errors.ts";
import { refuseSpecialFile } from "../../base/odd_file.ts";
import { readError } from "../../base/read_error.ts";
import type { DicomFile, PixelPlace } from "./dataset.ts";
import { sopClassOf } from "./kinds.ts";
import { type Elements, type ParsedObject, parseObject, PIXEL_DATA } from "./parser.ts";
import { datasetOf } from "./reading.ts";

/** What is read of a file at first: more than the headers of most. */
const FIRST_BYTES = 2 ** 15;
/** More stands before the pixels of no image; what is longer, such as an enclosed document, is no image. */
const MOST_HEADER_BYTES = 2 ** 28;
/** Of a deflated object, pixels included. */
const MOST_INFLATED_BYTES = 2 ** 31;

export const EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1";
export const IMPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2";
export const EXPLICIT_BIG_ENDIAN = "1.2.840.10008.1.2.2";

/** Length of the preamble and "DICM". */
const PREAMBLE_BYTES = 132;

/** True for a file that begins as DICOM does; false as well for one that can't be opened. */
export async function isDicomFile(file: string): Promise<boolean> {
  try {
    refuseSpecialFile(file, "looking for DICOM");
    using opened = await Deno.open(file);
    const bytes = new Uint8Array(PREAMBLE_BYTES);
    return startOf(bytes.subarray(0, await fill(opened, bytes, 0))) !== null;
  } catch {
    return false;
  }
}

/**
 * Reads all of a DICOM file but its pixels.
 * @param beginsOnly Says of which SOP classes the beginning will do: of others that are large, or damaged, no more is read
 * @returns null where the file is no DICOM file
 * @throws UserError naming the file: it can't be read, or is damaged before its pixels
 */
export async function readDicomFile(
  file: string,
  doing: string,
  beginsOnly: (sopClass: string) => boolean = () => false,
): Promise<DicomFile | null> {
  try {
    refuseSpecialFile(file, doing);
    using opened = await Deno.open(file);
    const { size } = await opened.stat();
    let bytes = new Uint8Array(0);
    for (let wanted = FIRST_BYTES;; wanted *= 4) {
      const more = new Uint8Array(Math.min(wanted, size, MOST_HEADER_BYTES));
      more.set(bytes);
      const got = await fill(opened, more, bytes.length);
      bytes = more.subarray(0, got);
      const start = startOf(bytes);
      if (start === null) return null;
      const whole = got < more.length || got >= size;
      const { goesOn, ...object } = readObject(start, whole);
      const enough = beginsOnly(
        sopClassOf(datasetOf(object.elements, object.bytes, start.syntax === EXPLICIT_BIG_ENDIAN)),
      );
      if (goesOn && !enough && got < MOST_HEADER_BYTES) continue;
      if (goesOn && !enough) throw headersTooLong(file, doing);
      return describe(file, size, start, enough ? withoutProblem(object) : object, doing);
    }
  } catch (error) {
    throw readError(error, file, doing);
  }
}

async function fill(file: Deno.FsFile, bytes: Uint8Array, from: number): Promise<number> {
  let at = from;
  while (at < bytes.length) {
    const got = await file.read(bytes.subarray(at));
    if (got === null) break;
    at += got;
  }
  return at;
}

interface Start {
  readonly bytes: Uint8Array;
  /** Bytes that were put before the file's own. */
  readonly added: number;
  /** Transfer syntax of an object without meta information. */
  readonly syntax?: string;
}

/** How a file begins: with a preamble, or, as those of old programs, with its meta information or the object itself; null: no DICOM. */
function startOf(bytes: Uint8Array): Start | null {
  if (bytes.length < 8) return null;
  if (String.fromCharCode(...bytes.subarray(128, PREAMBLE_BYTES)) === "DICM") return { bytes, added: 0 };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const group = view.getUint16(0, true);
  const element = view.getUint16(2, true);
  const explicit = /^[A-Z]{2}$/.test(String.fromCharCode(bytes[4], bytes[5]));
  if (group === 2 && explicit && element < 0x20) {
    const filled = new Uint8Array(PREAMBLE_BYTES + bytes.length);
    filled.set(new TextEncoder().encode("DICM"), PREAMBLE_BYTES - 4);
    filled.set(bytes, PREAMBLE_BYTES);
    return { bytes: filled, added: PREAMBLE_BYTES };
  }
  if (group === 8 && element <= 0x18) {
    if (explicit) return { bytes, added: 0, syntax: EXPLICIT_LITTLE_ENDIAN };
    return view.getUint32(4, true) < 256 ? { bytes, added: 0, syntax: IMPLICIT_LITTLE_ENDIAN } : null;
  }
  if (group === 0x0800 && explicit && bytes[2] === 0) return { bytes, added: 0, syntax: EXPLICIT_BIG_ENDIAN };
  return null;
}

type ReadObject = ParsedObject & { readonly deflatedFrom?: number };

const NEEDS_ALL = "needs the whole file";

function withoutProblem({ elements, bytes }: ReadObject): ReadObject {
  return { elements, bytes };
}

/** `goesOn`: the bytes end before the pixels do begin, and the file does not. */
function readObject({ bytes, syntax }: Start, whole: boolean): ReadObject & { readonly goesOn: boolean } {
  let deflatedFrom: number | undefined;
  const inflate = (all: Uint8Array, position: number): Uint8Array => {
    if (!whole) throw new Error(NEEDS_ALL);
    deflatedFrom = position;
    // A copy each of both parts, so that offsets count from the file's beginning: the header is short, and deflated files are rare.
    const inflated = inflateRawSync(all.subarray(position), { maxOutputLength: MOST_INFLATED_BYTES });
    const joined = new Uint8Array(position + inflated.length);
    joined.set(all.subarray(0, position));
    joined.set(inflated, position);
    return joined;
  };
  const object = parseObject(bytes, syntax, inflate);
  const read = deflatedFrom === undefined ? object : { ...object, deflatedFrom };
  const pixels = object.elements.get(PIXEL_DATA);
  return { ...read, goesOn: !whole && (pixels === undefined || pixels.offset > object.bytes.length) };
}

function describe(file: string, fileBytes: number, start: Start, object: ReadObject, doing: string): DicomFile {
  const { elements, problem, deflatedFrom } = object;
  const place = elements.get(PIXEL_DATA);
  if (problem !== undefined && place === undefined) {
    throw new UserError({
      doing,
      file,
      problem: `it is a damaged DICOM file: ${problem}`,
      remedy: "export or copy it again",
    });
  }
  // Not more than what the attributes lie in is kept.
  const bytes = place ? object.bytes.slice(0, place.offset) : object.bytes;
  const transferSyntax = start.syntax ?? datasetOf(elements, bytes, false).text("TransferSyntaxUID") ?? "";
  const bigEndian = transferSyntax === EXPLICIT_BIG_ENDIAN;
  const dataset = datasetOf(elements, bytes, bigEndian);
  return {
    file,
    fileBytes,
    transferSyntax,
    dataset,
    bigEndian,
    ...(deflatedFrom !== undefined && { deflatedFrom: deflatedFrom - start.added }),
    ...(place ? { pixels: pixelPlace(elements, place.offset - start.added, place.length, dataset) } : {}),
  };
}

function pixelPlace(
  elements: Elements,
  offset: number,
  length: number | undefined,
  dataset: DicomFile["dataset"],
): PixelPlace {
  if (length !== undefined) return { offset, length };
  const table = elements.has("x7fe00001") ? dataset.numbers("ExtendedOffsetTable") : [];
  return table.length > 0 ? { offset, frameOffsets: table } : { offset };
}

function headersTooLong(file: string, doing: string): UserError {
  const problem = `no pixels stand in its first ${describeBytes(MOST_HEADER_BYTES)}`;
  return new UserError({ doing, file, problem, remedy: "leave it out: it is no image" });
}
