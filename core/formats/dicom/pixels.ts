/** A frame's pixels as the values that they stand for: unpacked, in the right byte order, without foreign bits, rescaled. */
import { UserError } from "../../base/errors.ts";
import { readStreamHeader } from "./codecs/codestream.ts";
import { decodeLosslessJpeg } from "./codecs/jpeg_lossless.ts";
import { decodeRle } from "./codecs/rle.ts";
import { type DecodeStream, loadDecoder, type StreamKind } from "./codecs/wasm_decoders.ts";
import { frameBytes, openFrames } from "./frames.ts";
import type { PixelFormat, Rescale, Slice } from "./slice.ts";
import { describeSyntax, type Packing, packingOf, SYNTAX_REMEDY } from "./transfer_syntax.ts";

/** Types that hold all values of a volume, the first that does; floats of 32 bits are what becomes of values anyway. */
export type ValueType = "int16" | "int32" | "float32" | "float64";
export type Values = Int16Array | Int32Array | Float32Array | Float64Array;

export const VALUE_BYTES: Readonly<Record<ValueType, number>> = { int16: 2, int32: 4, float32: 4, float64: 8 };

/** Refuses pixels that are not read here. @throws UserError naming the file */
export function requireReadable(slice: Slice, doing: string): void {
  const { format, file, transferSyntax } = slice;
  const refuse = (problem: string, remedy: string) => new UserError({ doing, file, problem, remedy });
  if (packingOf(transferSyntax) === undefined) {
    throw refuse(`its transfer syntax is not read: ${describeSyntax(transferSyntax)}`, SYNTAX_REMEDY);
  }
  if (format.samples !== 1 || !["MONOCHROME1", "MONOCHROME2", ""].includes(format.photometric)) {
    const what = format.photometric || `${format.samples} samples a pixel`;
    throw refuse(`it is a picture in colours (${what})`, "give the series of grey values that it was made from");
  }
  const { slope, intercept } = slice.rescale;
  if (!Number.isFinite(slope) || !Number.isFinite(intercept)) {
    throw refuse("its Rescale Slope or Rescale Intercept is no number", "export it again");
  }
  const { rows, columns, bitsAllocated, bitsStored, highBit } = format;
  const size = (value: number) => Number.isInteger(value) && value >= 1 && value <= 65535;
  if (!size(rows) || !size(columns)) throw refuse(`its size is ${columns} x ${rows}`, "export or copy it again");
  const bits = [8, 16, 32].includes(bitsAllocated) && bitsStored >= 1 && bitsStored <= bitsAllocated &&
    highBit >= bitsStored - 1 && highBit < bitsAllocated;
  if (!bits) {
    throw refuse(
      `it has ${bitsStored} bits stored in ${bitsAllocated} up to bit ${highBit}, and read are 8, 16 and 32 with as many or fewer`,
      "export it again with 16 bits",
    );
  }
}

/** The type that holds the values of all slices. */
export function valueTypeOf(slices: readonly Slice[]): ValueType {
  let [lowest, highest] = [0, 0];
  for (const { rescale, format: { bitsStored, signed } } of slices) {
    const { slope, intercept, table } = rescale;
    if (!Number.isInteger(slope) || !Number.isInteger(intercept)) return "float32";
    const range = signed ? [-(2 ** (bitsStored - 1)), 2 ** (bitsStored - 1) - 1] : [0, 2 ** bitsStored - 1];
    for (const value of table ? [0, 65535] : range.map((one) => one * slope + intercept)) {
      lowest = Math.min(lowest, value);
      highest = Math.max(highest, value);
    }
  }
  if (lowest >= -32768 && highest <= 32767) return "int16";
  if (lowest >= -(2 ** 24) && highest <= 2 ** 24) return "float32"; // holds them all, and is not converted once more
  return lowest >= -(2 ** 31) && highest < 2 ** 31 ? "int32" : "float64";
}

/** Reads slices of one volume, one after the other. */
export interface SliceReader extends Disposable {
  /** Fills `into` with the values of a slice. @throws UserError naming its file if it is damaged */
  read(slice: Slice, into: Values): Promise<void>;
}

export function sliceReader(doing: string): SliceReader {
  const decoders = new Map<StreamKind, DecodeStream>();
  let opened: ReturnType<typeof openFrames> | undefined;
  return {
    async read(slice, into) {
      if (opened?.file !== slice.file) {
        opened?.[Symbol.dispose]();
        opened = undefined;
        opened = openFrames(slice, doing);
      }
      const bytes = opened.read(slice.frame);
      const kind = streamKind(packingOf(slice.transferSyntax));
      const decode = kind && (decoders.get(kind) ?? await loadDecoder(kind));
      if (kind) decoders.delete(kind); // One that fails may be in any state.
      convert(unpack(slice, bytes, decode, doing), slice, into);
      if (kind && decode) decoders.set(kind, decode);
    },
    [Symbol.dispose]: () => opened?.[Symbol.dispose](),
  };
}

/** Pixels as stored, little-endian whatever the machine is, in as many bytes each as they were packed from. */
type Stored = Uint8Array | Uint16Array | Uint32Array;

/** The decoder that a packing needs, of those that have to be loaded. */
function streamKind(packing: Packing | undefined): StreamKind | undefined {
  return packing === "jpeg" || packing === "jpeg-ls" || packing === "jpeg 2000" ? packing : undefined;
}

function unpack(slice: Slice, bytes: Uint8Array, decode: DecodeStream | undefined, doing: string): Stored {
  const { file, frame, frames, format: { rows, columns, bitsAllocated } } = slice;
  const packing = packingOf(slice.transferSyntax);
  try {
    if (packing === undefined) throw new Error(`the transfer syntax ${slice.transferSyntax} is not read`);
    if (packing === "none") return asWords(bytes, bitsAllocated, slice.bigEndian);
    if (packing === "rle") return asWords(decodeRle(bytes, rows * columns, bitsAllocated / 8), bitsAllocated, false);
    return decodeStream(slice, bytes, packing, decode);
  } catch (error) {
    if (error instanceof UserError || !(error instanceof Error)) throw error;
    const which = frames > 1 ? `frame ${frame + 1} of ${frames}` : "its image";
    const problem = `${which} can't be decoded: ${error.message}`;
    throw new UserError({ doing, file, problem, remedy: "export or copy it again" }, { cause: error });
  }
}

/** Processes of lossy JPEG that are read: baseline, and extended and progressive with 8 bits. */
const LOSSY_JPEG = [0xc0, 0xc1, 0xc2];

function decodeStream(
  slice: Slice,
  stream: Uint8Array,
  packing: Exclude<Packing, "none" | "rle">,
  decode: DecodeStream | undefined,
): Stored {
  const { rows, columns, bitsAllocated } = slice.format;
  const header = readStreamHeader(stream);
  if (!header) throw new Error("its stream has no header");
  if (header.rows !== rows || header.columns !== columns || header.components !== 1 || header.bits > bitsAllocated) {
    throw new Error(
      `its stream says ${header.columns} x ${header.rows} pixels of ${header.bits} bits in ${header.components} colours, ` +
        `the object ${columns} x ${rows} of at most ${bitsAllocated}`,
    );
  }
  const lossless = header.process === 0xc3;
  if (!decode || (packing === "jpeg" && lossless)) {
    if (!lossless) throw new Error("its stream is no lossless JPEG");
    return exactly(rows * columns, decodeLosslessJpeg(stream), header.bits);
  }
  const fits = packing === "jpeg"
    ? LOSSY_JPEG.includes(header.process) && header.bits === 8
    : header.process === (packing === "jpeg-ls" ? 0xf7 : 0x51);
  if (!fits) throw new Error(`its stream is of another kind than ${packing}`);
  const { pixels, bits } = decode(stream);
  return exactly(rows * columns, pixels, bits);
}

function exactly(pixels: number, bytes: Uint8Array, bits: number): Stored {
  const size = bits <= 8 ? 1 : 2;
  if (bytes.length !== pixels * size) throw new Error(`${bytes.length} bytes come out of it, not ${pixels * size}`);
  return asWords(bytes, 8 * size, false);
}

/** Words of this machine's byte order, in place where that is theirs. */
function asWords(bytes: Uint8Array, bits: number, bigEndian: boolean): Stored {
  if (bits === 8) return bytes;
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
  const { buffer, byteOffset, length } = aligned;
  if (bits === 16) {
    const words = new Uint16Array(buffer, byteOffset, length >> 1);
    if (bigEndian) { for (let i = 0; i < words.length; i++) words[i] = words[i] << 8 | words[i] >>> 8; }
    return words;
  }
  const words = new Uint32Array(buffer, byteOffset, length >> 2);
  if (bigEndian) {
    const view = new DataView(buffer, byteOffset, length);
    for (let i = 0; i < words.length; i++) words[i] = view.getUint32(4 * i, false);
  }
  return words;
}

/** Stored words as values. */
function convert(stored: Stored, { format, rescale }: Slice, into: Values): void {
  const { slope, intercept, table } = rescale;
  const shift = format.highBit + 1 - format.bitsStored;
  const unused = 32 - format.bitsStored;
  const flip = format.inverted && !table;
  const top = 2 ** format.bitsStored - 1;
  const identity = slope === 1 && intercept === 0;
  if (table) {
    convertByTable(stored, format, table, into);
  } else if (format.signed) {
    for (let i = 0; i < into.length; i++) {
      const value = stored[i] >>> shift << unused >> unused;
      const upright = flip ? -1 - value : value;
      into[i] = identity ? upright : upright * slope + intercept;
    }
  } else {
    for (let i = 0; i < into.length; i++) {
      const value = stored[i] >>> shift << unused >>> unused;
      const upright = flip ? top - value : value;
      into[i] = identity ? upright : upright * slope + intercept;
    }
  }
}

function convertByTable(
  stored: Stored,
  { bitsStored, highBit, signed }: PixelFormat,
  { first, values }: NonNullable<Rescale["table"]>,
  into: Values,
): void {
  const shift = highBit + 1 - bitsStored;
  const unused = 32 - bitsStored;
  const last = values.length - 1;
  for (let i = 0; i < into.length; i++) {
    const up = stored[i] >>> shift << unused;
    const entry = (signed ? up >> unused : up >>> unused) - first;
    into[i] = values[entry < 0 ? 0 : entry > last ? last : entry];
  }
}

/** Bytes that reading a slice holds. */
export function sliceBuffers(slice: Slice): number {
  const pixels = slice.format.rows * slice.format.columns;
  const inflated = slice.deflatedFrom === undefined ? 0 : frameBytes(slice) * slice.frames;
  return 24 * pixels + inflated;
}
