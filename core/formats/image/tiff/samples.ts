/** Samples as stored, to float32: types, byte order, packed bits. Whole rows at a time. */
import { convertVoxels, HOST_LITTLE_ENDIAN, swapBytes } from "../nifti/voxels.ts";
import { TiffRefusal } from "./problem.ts";

/** Types of samples as numpy names them. */
export type SampleType =
  | "bool"
  | "uint8"
  | "uint16"
  | "uint32"
  | "uint64"
  | "int8"
  | "int16"
  | "int32"
  | "int64"
  | "float16"
  | "float32"
  | "float64";

/** Bytes of a sample once unpacked. */
export const SAMPLE_BYTES: Readonly<Record<SampleType, 1 | 2 | 4 | 8>> = {
  bool: 1,
  uint8: 1,
  uint16: 2,
  uint32: 4,
  uint64: 8,
  int8: 1,
  int16: 2,
  int32: 4,
  int64: 8,
  float16: 2,
  float32: 4,
  float64: 8,
};

/** The codes by which NIfTI's conversion knows the types. */
const NIFTI_CODES: Readonly<Partial<Record<SampleType, number>>> = {
  bool: 2,
  uint8: 2,
  uint16: 512,
  uint32: 768,
  uint64: 1280,
  int8: 256,
  int16: 4,
  int32: 8,
  int64: 1024,
  float32: 16,
  float64: 64,
};

const FORMATS: ReadonlyMap<number, string> = new Map([
  [1, "whole numbers"],
  [2, "signed numbers"],
  [3, "floating-point numbers"],
  [4, "undefined values"],
  [5, "complex whole numbers"],
  [6, "complex numbers"],
]);

/** @throws TiffRefusal for what tifffile does not read, for complex numbers, and for floats of 24 bits */
export function sampleTypeOf(format: number, bits: number): SampleType {
  if (format === 1 || format === 4) {
    if (bits === 1) return "bool";
    if (bits >= 2 && bits <= 8) return "uint8";
    if (bits > 8 && bits <= 16) return "uint16";
    if (bits > 16 && bits <= 32) return "uint32";
    if (bits === 64) return "uint64";
  }
  if (format === 2 && [8, 16, 32, 64].includes(bits)) return `int${bits as 8 | 16 | 32 | 64}`;
  if (format === 3 && [16, 32, 64].includes(bits)) return `float${bits as 16 | 32 | 64}`;
  throw new TiffRefusal(
    `its samples are ${FORMATS.get(format) ?? `of format ${format}`} of ${bits} bits, which are not read`,
    "save it with whole or floating-point numbers of 8, 16, 32 or 64 bits",
  );
}

/** True where samples lie in bytes of their own. */
export function isWholeBytes(type: SampleType, bits: number): boolean {
  return bits === 8 * SAMPLE_BYTES[type];
}

/**
 * Spreads rows of packed samples, the highest bit first and each row in bytes of its own, to one number each.
 * @param into A number of the type's width for each sample
 */
export function spreadBits(
  packed: Uint8Array,
  into: Uint8Array | Uint16Array | Uint32Array,
  bits: number,
  perRow: number,
): void {
  const rowBytes = Math.ceil(perRow * bits / 8);
  for (let start = 0; start < into.length; start += perRow) {
    let at = start / perRow * rowBytes;
    let held = 0;
    let value = 0;
    for (let i = 0; i < perRow; i++) {
      let missing = bits;
      value = 0;
      while (missing > 0) {
        const left = 8 - held;
        const take = Math.min(left, missing);
        value = value * (1 << take) + ((packed[at] >> (left - take)) & ((1 << take) - 1));
        missing -= take;
        held += take;
        if (held === 8) {
          held = 0;
          at++;
        }
      }
      into[start + i] = value;
    }
  }
}

/** Converts `count` samples at the start of `staging`, which is overwritten, into `target` from `at` on. */
export function convertSamples(
  staging: ArrayBuffer,
  count: number,
  type: SampleType,
  littleEndian: boolean,
  target: Float32Array,
  at: number,
): void {
  const datatype = NIFTI_CODES[type];
  if (datatype !== undefined) {
    const conversion = { datatype, littleEndian, arithmetic: "itk", scaling: null, zeroNonFinite: false } as const;
    convertVoxels(staging, count, conversion, target, at);
    return;
  }
  if (littleEndian !== HOST_LITTLE_ENDIAN) swapBytes(staging, 2 * count, 2);
  target.set(new Float16Array(staging, 0, count), at);
}
