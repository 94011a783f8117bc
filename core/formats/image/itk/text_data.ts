/** Voxels that are written as text: decimal numbers, or the bytes' hexadecimal digits. */
import { UserError } from "../../../base/errors.ts";
import type { ByteSource } from "../../archive/gzip.ts";
import { READING } from "../image_format.ts";
import { VOXEL_TYPES, type VoxelConversion } from "../nifti/voxels.ts";

type Read = (into: Uint8Array) => Promise<number>;

const TEXT_BYTES = 1 << 16;
/** Longer than any number is written. */
const LONGEST_NUMBER = 1024;
const COMMA = 44;
/** Tab to carriage return, and blank. */
const isBlank = (byte: number) => byte === 32 || (byte >= 9 && byte <= 13);
const isBetween = (byte: number) => isBlank(byte) || byte === COMMA;

/** One number of a type into a view at an index; false if the type does not hold it. */
type Put = (view: DataView, at: number, text: string) => boolean;

/** Ranges of the integers, by NIfTI's code of the type. */
const INTEGERS: ReadonlyMap<number, { readonly bits: 8 | 16 | 32; readonly signed: boolean }> = new Map([
  [2, { bits: 8, signed: false }],
  [256, { bits: 8, signed: true }],
  [4, { bits: 16, signed: true }],
  [512, { bits: 16, signed: false }],
  [8, { bits: 32, signed: true }],
  [768, { bits: 32, signed: false }],
]);

function putterOf({ datatype, littleEndian }: VoxelConversion): Put {
  const integer = INTEGERS.get(datatype);
  if (integer) {
    const { bits, signed } = integer;
    const [least, most] = signed ? [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] : [0, 2 ** bits - 1];
    return (view, at, text) => {
      const value = /^[+-]?\d+$/.test(text) ? Number(text) : NaN;
      if (!(value >= least && value <= most)) return false;
      if (bits === 8) view.setUint8(at, value);
      else if (bits === 16) view.setUint16(at, value, littleEndian);
      else view.setUint32(at, value, littleEndian);
      return true;
    };
  }
  if (datatype === 1024 || datatype === 1280) {
    const [least, most] = datatype === 1024 ? [-(2n ** 63n), 2n ** 63n - 1n] : [0n, 2n ** 64n - 1n];
    return (view, at, text) => {
      const match = /^([+-]?)(\d{1,20})$/.exec(text);
      const value = match ? BigInt(match[2]) * (match[1] === "-" ? -1n : 1n) : most + 1n;
      if (value < least || value > most) return false;
      view.setBigUint64(at, BigInt.asUintN(64, value), littleEndian);
      return true;
    };
  }
  return (view, at, text) => {
    const value = parseFloatText(text);
    if (value === undefined) return false;
    if (datatype === 16 || datatype === 32) view.setFloat32(at, value, littleEndian);
    else view.setFloat64(at, value, littleEndian);
    return true;
  };
}

/** A number as C reads it: digits with an exponent, "nan", "inf"; undefined if it is none. */
export function parseFloatText(text: string): number | undefined {
  if (/^[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?$/i.test(text)) return Number(text);
  const match = /^([+-]?)(nan|inf|infinity)$/i.exec(text);
  if (!match) return undefined;
  if (match[2].toLowerCase() === "nan") return NaN;
  return match[1] === "-" ? -Infinity : Infinity;
}

/** Numbers with blanks or commas between them, in the bytes and their order that `conversion` takes. */
export function asciiNumbers(source: ByteSource, conversion: VoxelConversion, file: string): Read {
  const put = putterOf(conversion);
  // Of complex numbers the two parts are written one after the other.
  const { name, unit: width } = VOXEL_TYPES.get(conversion.datatype) ?? { name: "number", unit: 1 };
  const buffer = new Uint8Array(TEXT_BYTES);
  let [at, end] = [0, 0];
  const more = async () => {
    [at, end] = [0, await source.read(buffer)];
    return end > 0;
  };
  /** The next text between blanks or commas; empty at the end. */
  const token = async (): Promise<string> => {
    let text = "";
    for (;;) {
      while (at < end && text === "" && isBetween(buffer[at])) at++;
      const start = at;
      while (at < end && !isBetween(buffer[at])) at++;
      if (at > start) text += String.fromCharCode(...buffer.subarray(start, Math.min(at, start + LONGEST_NUMBER + 1)));
      if (text.length > LONGEST_NUMBER) throw noNumber(file, name, `${text.slice(0, 20)}...`);
      if (at < end || !await more()) return text;
    }
  };
  return async (into) => {
    const view = new DataView(into.buffer, into.byteOffset, into.byteLength);
    let filled = 0;
    while (filled < into.length) {
      const text = await token();
      if (text === "") break;
      if (!put(view, filled, text)) throw noNumber(file, name, text);
      filled += width;
    }
    return filled;
  };
}

function noNumber(file: string, type: string, text: string): UserError {
  const problem = `among its voxels, which are written as text, stands ${JSON.stringify(text)}, which is no ${type}`;
  return new UserError({ doing: READING, file, problem, remedy: "save the image again, with raw voxels" });
}

/** Value of a hexadecimal digit, -1 for a blank, -2 for anything else. */
function digit(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48;
  const lower = byte | 32;
  if (lower >= 97 && lower <= 102) return lower - 87;
  return isBlank(byte) ? -1 : -2;
}

/** Bytes that are written as two hexadecimal digits each. */
export function hexBytes(source: ByteSource, file: string): Read {
  const buffer = new Uint8Array(TEXT_BYTES);
  let [at, end] = [0, 0];
  return async (into) => {
    let [filled, high] = [0, -1];
    while (filled < into.length) {
      if (at === end) [at, end] = [0, await source.read(buffer)];
      if (end === 0) break;
      const value = digit(buffer[at++]);
      if (value === -1) continue;
      if (value < 0) {
        const problem = `among its hexadecimal digits stands a byte ${buffer[at - 1]}`;
        throw new UserError({ doing: READING, file, problem, remedy: "copy or export the image again" });
      }
      if (high < 0) high = value;
      else {
        into[filled++] = high * 16 + value;
        high = -1;
      }
    }
    return filled;
  };
}
