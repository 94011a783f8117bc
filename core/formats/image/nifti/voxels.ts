/**
 * Voxels as stored, to float32 as ITK and nibabel give them: data types, byte order, slope and intercept. Works on pieces of a
 * volume, in typed loops, so that a volume is never held twice.
 */

import type { LabelValues } from "../image.ts";

/** NIfTI's data type codes that are read, with bytes per voxel and the unit that byte order applies to. */
export const VOXEL_TYPES: ReadonlyMap<
  number,
  { readonly name: string; readonly bytes: number; readonly unit: number }
> = new Map([
  [2, { name: "uint8", bytes: 1, unit: 1 }],
  [4, { name: "int16", bytes: 2, unit: 2 }],
  [8, { name: "int32", bytes: 4, unit: 4 }],
  [16, { name: "float32", bytes: 4, unit: 4 }],
  [32, { name: "complex64", bytes: 8, unit: 4 }],
  [64, { name: "float64", bytes: 8, unit: 8 }],
  [256, { name: "int8", bytes: 1, unit: 1 }],
  [512, { name: "uint16", bytes: 2, unit: 2 }],
  [768, { name: "uint32", bytes: 4, unit: 4 }],
  [1024, { name: "int64", bytes: 8, unit: 8 }],
  [1280, { name: "uint64", bytes: 8, unit: 8 }],
  [1792, { name: "complex128", bytes: 16, unit: 8 }],
]);

/** What is to be said of an image whose type of numbers is a complex one. */
export function complexWarning(file: string, datatype: number): string[] {
  return isComplex(datatype)
    ? [`${file}: its voxels are complex numbers; the imaginary parts are ignored, as upstream does.`]
    : [];
}

const isComplex = (datatype: number) => datatype === 32 || datatype === 1792;

/** Names of types that are known and not read. */
export const REFUSED_TYPES: ReadonlyMap<number, string> = new Map([
  [1, "binary"],
  [128, "rgb24"],
  [1536, "float128"],
  [2048, "complex256"],
  [2304, "rgba32"],
]);

/**
 * How stored numbers become values.
 * - `itk`: float32(float32(v) * slope + intercept), the products in float64; floats of 64 bits are not rounded first.
 * - `nibabel`: float32(v * slope + intercept) in float64, and integers of 64 bits pass through float64 even unscaled.
 */
export interface VoxelConversion {
  readonly datatype: number;
  readonly littleEndian: boolean;
  readonly arithmetic: "itk" | "nibabel";
  /** Null: values as stored. */
  readonly scaling: { readonly slope: number; readonly intercept: number } | null;
  /** NaN and infinite stored values become 0 before the scaling, as nifti_clib does. */
  readonly zeroNonFinite: boolean;
}

/** Array of a numeric type that a view of the staging buffer can have. */
type Stored =
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | Float32Array
  | Float64Array;

/**
 * Converts `count` voxels that lie at the start of `staging` (a buffer of their own, aligned; it is overwritten where the byte order
 * has to be turned) into `target` from `at` on.
 */
export function convertVoxels(
  staging: ArrayBuffer,
  count: number,
  conversion: VoxelConversion,
  target: Float32Array | LabelValues,
  at: number,
): void {
  const type = VOXEL_TYPES.get(conversion.datatype);
  if (!type) throw new RangeError(`NIfTI data type ${conversion.datatype} is not read`);
  if (conversion.littleEndian !== HOST_LITTLE_ENDIAN) swapBytes(staging, count * type.bytes, type.unit);
  const integer64 = conversion.datatype === 1024 || conversion.datatype === 1280;
  if (integer64) {
    convertInteger64(staging, count, conversion, target, at);
    return;
  }
  const stored = storedView(staging, conversion.datatype, count);
  if (isComplex(conversion.datatype)) keepRealParts(stored, count);
  if (conversion.zeroNonFinite && (stored instanceof Float32Array || stored instanceof Float64Array)) {
    for (let i = 0; i < count; i++) if (!Number.isFinite(stored[i])) stored[i] = 0;
  }
  scaleInto(stored, count, conversion, target, at);
}

export const HOST_LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

function storedView(staging: ArrayBuffer, datatype: number, count: number): Stored {
  switch (datatype) {
    case 2:
      return new Uint8Array(staging, 0, count);
    case 4:
      return new Int16Array(staging, 0, count);
    case 8:
      return new Int32Array(staging, 0, count);
    case 16:
      return new Float32Array(staging, 0, count);
    case 32:
      return new Float32Array(staging, 0, 2 * count);
    case 64:
      return new Float64Array(staging, 0, count);
    case 256:
      return new Int8Array(staging, 0, count);
    case 512:
      return new Uint16Array(staging, 0, count);
    case 768:
      return new Uint32Array(staging, 0, count);
    default:
      return new Float64Array(staging, 0, 2 * count);
  }
}

function keepRealParts(complex: Stored, count: number): void {
  for (let i = 1; i < count; i++) complex[i] = complex[2 * i];
}

function scaleInto(
  source: Stored,
  count: number,
  conversion: VoxelConversion,
  target: Float32Array | LabelValues,
  at: number,
): void {
  const { scaling, arithmetic } = conversion;
  if (!scaling) {
    target.set(source.length === count ? source : source.subarray(0, count), at);
    return;
  }
  const { slope, intercept } = scaling;
  if (arithmetic === "itk") {
    if (source instanceof Float64Array) {
      for (let i = 0; i < count; i++) target[at + i] = source[i] * slope + intercept;
    } else {
      for (let i = 0; i < count; i++) target[at + i] = Math.fround(source[i]) * slope + intercept;
    }
  } else if (intercept === 0) {
    // No "+ 0": it would turn -0 into 0.
    for (let i = 0; i < count; i++) target[at + i] = source[i] * slope;
  } else {
    for (let i = 0; i < count; i++) target[at + i] = source[i] * slope + intercept;
  }
}

/** 64-bit integers as two words; JavaScript's own conversion would round twice on the way to float32. */
function convertInteger64(
  staging: ArrayBuffer,
  count: number,
  conversion: VoxelConversion,
  target: Float32Array | LabelValues,
  at: number,
): void {
  const low = new Uint32Array(staging, 0, 2 * count);
  const high = conversion.datatype === 1024 ? new Int32Array(staging, 0, 2 * count) : low;
  const lowWord = HOST_LITTLE_ENDIAN ? 0 : 1;
  const { scaling, arithmetic } = conversion;
  const slope = scaling?.slope ?? 1;
  const intercept = scaling?.intercept ?? 0;
  for (let i = 0; i < count; i++) {
    let bits = low[2 * i + lowWord];
    const top = high[2 * i + 1 - lowWord] * 4294967296;
    if (arithmetic === "itk") {
      // One rounding, from 64 bits to float32: the last 12 bits of a number beyond 2^53 only say whether it is exact, so they are
      // folded into one sticky bit ("round to odd") and the float64 is exact.
      if (top >= 9007199254740992 || top < -9007199254740992) {
        bits = ((bits & 0xfffff000) | ((bits & 0xfff) !== 0 ? 0x1000 : 0)) >>> 0;
      }
      const value = Math.fround(top + bits);
      target[at + i] = scaling ? value * slope + intercept : value;
    } else {
      target[at + i] = (top + bits) * slope + intercept;
    }
  }
}

/** Turns the byte order of `bytes` bytes in place, in units of 1, 2, 4 or 8 bytes. */
export function swapBytes(buffer: ArrayBuffer, bytes: number, unit: number): void {
  if (unit === 2) {
    const words = new Uint16Array(buffer, 0, bytes >> 1);
    for (let i = 0; i < words.length; i++) words[i] = (words[i] << 8) | (words[i] >>> 8);
  } else if (unit >= 4) {
    const words = new Uint32Array(buffer, 0, bytes >> 2);
    for (let i = 0; i < words.length; i++) {
      const v = words[i];
      words[i] = (v << 24) | ((v & 0xff00) << 8) | ((v >>> 8) & 0xff00) | (v >>> 24);
    }
    if (unit === 8) {
      for (let i = 0; i < words.length; i += 2) {
        const first = words[i];
        words[i] = words[i + 1];
        words[i + 1] = first;
      }
    }
  }
}
