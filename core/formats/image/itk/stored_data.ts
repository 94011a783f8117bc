/**
 * Voxels as the formats of ITK hold them: behind a header or in files of their own, one or many, raw, packed, or as text. They are read
 * piece by piece straight into the array.
 */
import { UserError } from "../../../base/errors.ts";
import { readError } from "../../../base/read_error.ts";
import { refuseSpecialFile } from "../../../base/odd_file.ts";
import type { Vec3 } from "../../../base/shape.ts";
import { DEFLATE_RATIO, openBytes, PIECE_BYTES } from "../../archive/gzip.ts";
import { READING } from "../image_format.ts";
import { scatterer, type VoxelTarget } from "../voxel_order.ts";
import type { VoxelConversion } from "../nifti/voxels.ts";
import { asciiNumbers, hexBytes } from "./text_data.ts";

/** `zlib`: gzip is known by its first bytes, too. */
export type Encoding = "raw" | "gzip" | "zlib" | "ascii" | "hex";

/** What one file holds. */
export interface DataPart {
  readonly file: string;
  /** The byte where it begins. */
  readonly from: number;
  /** Where packed bytes end, if it is not the file's end. */
  readonly to?: number;
  /** Lines that are passed over from there, then bytes: of the unpacked data, if they are packed. */
  readonly skip?: { readonly lines: number; readonly bytes: number };
  /** Instead of bytes to pass over: how many lie behind the numbers, at the end of the file or of the unpacked data. */
  readonly bytesBehind?: number;
  /** Stored numbers. */
  readonly numbers: number;
}

export interface StoredData {
  /** The image's name. */
  readonly file: string;
  /** In the order of the voxels. */
  readonly parts: Iterable<DataPart>;
  readonly encoding: Encoding;
  readonly conversion: VoxelConversion;
  /** Of a stored number. */
  readonly bytesPerNumber: number;
  /** Grid of a channel (x, y, z). */
  readonly size: Vec3;
  readonly channels: number;
}

/** What reading holds: as for NIfTI, and the texts. */
export const BUFFER_BYTES = 8 * PIECE_BYTES;
/** As much again may lie behind the voxels, as ITK doesn't look there. */
const MAX_BEHIND = 64 * 2 ** 20;

/** Refuses data that the files can't hold, before memory is taken for them. @throws UserError */
export async function checkData(data: StoredData): Promise<void> {
  let all = 0;
  for (const part of data.parts) {
    refuseSpecialFile(part.file, READING);
    const stat = await Deno.stat(part.file).catch((error) => {
      if (error instanceof Deno.errors.NotFound && part.file !== data.file) throw missingData(data.file, part.file);
      throw readError(error, part.file, READING);
    });
    if (stat.isDirectory) throw missingData(data.file, part.file);
    const stored = Math.min(part.to ?? stat.size, stat.size) - part.from;
    const most = mostNumbers(data, part, stored);
    if (!(part.numbers <= most)) throw tooFew(data, part.file, all + Math.max(0, most));
    all += part.numbers;
  }
}

/** Numbers that `stored` bytes can hold. */
function mostNumbers({ encoding, bytesPerNumber }: StoredData, part: DataPart, stored: number): number {
  const skipped = part.bytesBehind ?? part.skip?.bytes ?? 0;
  switch (encoding) {
    case "raw":
      return Math.floor((stored - skipped) / bytesPerNumber);
    case "ascii":
      return Math.ceil((stored - skipped) / 2);
    case "hex":
      return Math.floor((stored - skipped) / 2 / bytesPerNumber);
    default:
      return Math.floor((DEFLATE_RATIO * stored - skipped) / bytesPerNumber);
  }
}

/**
 * Streams all numbers to their places, and checks packed data to their ends; gives warnings.
 * @throws UserError if a file is damaged or ends early
 */
export async function readData(data: StoredData, target: VoxelTarget): Promise<readonly string[]> {
  const { conversion, bytesPerNumber } = data;
  const perPiece = Math.floor(PIECE_BYTES / bytesPerNumber);
  const place = scatterer(data.size, target, perPiece);
  const staging = new ArrayBuffer(perPiece * bytesPerNumber);
  const piece = new Uint8Array(staging);
  const warnings: string[] = [];
  let done = 0;
  for (const part of data.parts) {
    await using source = await openPart(data, part);
    for (let left = part.numbers; left > 0;) {
      const count = Math.min(perPiece, left);
      const got = await source.read(piece.subarray(0, count * bytesPerNumber));
      if (got < count * bytesPerNumber) throw tooFew(data, part.file, done + Math.floor(got / bytesPerNumber));
      place(staging, count, done, conversion);
      done += count;
      left -= count;
    }
    warnings.push(...await source.finish());
  }
  return warnings;
}

/** The stored numbers of a part as bytes; of texts in the order that the conversion takes. */
interface PartSource extends AsyncDisposable {
  read(into: Uint8Array): Promise<number>;
  finish(): Promise<readonly string[]>;
}

async function openPart(data: StoredData, part: DataPart): Promise<PartSource> {
  const { encoding, bytesPerNumber } = data;
  const { file } = part;
  const packed = encoding === "gzip" || encoding === "zlib";
  const from = await startOf(data, part);
  const skipped = packed ? await packedSkip(data, part) : 0;
  const source = await openBytes(file, encoding === "gzip" ? true : encoding === "zlib" && "zlib", READING, {
    from,
    to: part.to,
  });
  const read = encoding === "ascii"
    ? asciiNumbers(source, data.conversion, file)
    : encoding === "hex"
    ? hexBytes(source, file)
    : (into: Uint8Array) => source.read(into);
  const opened: PartSource = {
    read,
    finish: async () => {
      const { warnings } = await source.finish(Math.max(MAX_BEHIND, part.numbers * bytesPerNumber));
      return source.misnamed ? [`${file}: its voxels are not gzip-compressed, though the header says so.`] : warnings;
    },
    [Symbol.asyncDispose]: () => source[Symbol.asyncDispose](),
  };
  try {
    const sink = new Uint8Array(PIECE_BYTES);
    for (let left = skipped; left > 0;) {
      const got = await source.read(sink.subarray(0, Math.min(left, sink.length)));
      if (got === 0) throw tooFew(data, file, 0);
      left -= got;
    }
    return opened;
  } catch (error) {
    await source[Symbol.asyncDispose]();
    throw error;
  }
}

/** Unpacked bytes before a part's numbers; those that are counted from the end are known once all is unpacked. */
async function packedSkip(data: StoredData, part: DataPart): Promise<number> {
  const { bytesBehind, file, numbers, skip } = part;
  if (bytesBehind === undefined) return skip?.bytes ?? 0;
  const wanted = numbers * data.bytesPerNumber + bytesBehind;
  await using source = await openBytes(file, true, READING, { from: await startOf(data, part), to: part.to });
  const { rest } = await source.finish(2 * wanted + MAX_BEHIND);
  if (rest < wanted) throw tooFew(data, file, Math.floor((rest - bytesBehind) / data.bytesPerNumber));
  return rest - wanted;
}

/** The byte at which a part's numbers, or their packing, begin. */
async function startOf({ encoding, bytesPerNumber }: StoredData, part: DataPart): Promise<number> {
  const { file, from, skip = { lines: 0, bytes: 0 }, bytesBehind, numbers } = part;
  const packed = encoding === "gzip" || encoding === "zlib";
  if (bytesBehind !== undefined && !packed) {
    const { size } = await Deno.stat(file);
    return size - bytesBehind - numbers * bytesPerNumber;
  }
  const bytes = packed ? 0 : skip.bytes;
  return (skip.lines > 0 ? await behindLines(file, from, skip.lines) : from) + bytes;
}

const LINE_FEED = 10;
const CARRIAGE_RETURN = 13;

/** Where the line begins that comes `lines` lines behind `from`. Lines end in LF, CR LF or CR. */
async function behindLines(file: string, from: number, lines: number): Promise<number> {
  await using source = await openBytes(file, false, READING, { from });
  const piece = new Uint8Array(1 << 16);
  let [at, left, afterReturn] = [from, lines, false];
  for (let got = await source.read(piece); got > 0; got = await source.read(piece)) {
    for (let i = 0; i < got; i++) {
      const byte = piece[i];
      if (left === 0) return at + i + (afterReturn && byte === LINE_FEED ? 1 : 0);
      if (byte === CARRIAGE_RETURN || (byte === LINE_FEED && !afterReturn)) left--;
      afterReturn = byte === CARRIAGE_RETURN;
    }
    at += got;
  }
  if (left === 0) return at;
  const problem = `its header skips ${lines} lines before the voxels, and there are only ${lines - left}`;
  throw new UserError({ doing: READING, file, problem, remedy: "copy or export the image again" });
}

function missingData(file: string, dataFile: string): UserError {
  const problem = `its voxels are in ${dataFile}, which is not there`;
  return new UserError({
    doing: READING,
    file,
    problem,
    remedy: "copy that file beside it, or save the image as one file",
  });
}

function tooFew({ file, size, channels }: StoredData, dataFile: string, there: number): UserError {
  const shape = [...size, ...(channels > 1 ? [channels] : [])].join(" x ");
  const wanted = (size[0] * size[1] * size[2] * channels).toLocaleString("en-US");
  const problem = `the file ends before its voxels do: the header${
    dataFile === file ? "" : ` (${file})`
  } says ${shape} = ${wanted} voxels, and there are at most ${there.toLocaleString("en-US")}`;
  return new UserError({ doing: READING, file: dataFile, problem, remedy: "copy or export the image again" });
}
