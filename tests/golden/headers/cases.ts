/** What is shared by the tests on the header cases: the facts, hashes, and the comparison of numbers. */
import type { ReaderName } from "../../../core/formats/image/image.ts";
import { fromFileUrl } from "../../../core/base/path.ts";

export const HEADERS = fromFileUrl(new URL("./", import.meta.url));
export const NIFTI_READERS = ["SimpleITKIO", "NibabelIO", "NibabelIOWithReorient"] as const;

/** A number of expected.json; those that JSON lacks are strings. */
export type Num = number | "nan" | "inf" | "-inf";
export type Nums = Num | readonly Nums[];

/** Header fields of a file that upstream's writer wrote, or its error. */
export interface Written {
  readonly error?: unknown;
  readonly dim: Nums;
  readonly datatype: Num;
  readonly pixdim: Nums;
  readonly vox_offset: Num;
  readonly slope_inter: Nums;
  readonly xyzt_units: Num;
  readonly qcode_scode: Nums;
  readonly quatern_qoffset: readonly number[];
  readonly srow: Nums;
  readonly sha_zyx: string;
}

/** What upstream's reader made of a file. */
export interface Read {
  readonly error?: { readonly class: string; readonly line: string };
  readonly shape: readonly number[];
  readonly sha: string;
  readonly probe: Nums;
  readonly sum: number;
  readonly n_nonfinite?: number;
  readonly spacing: Nums;
  readonly sitk_stuff?: { readonly spacing: number[]; readonly origin: number[]; readonly direction: number[] };
  readonly nibabel_stuff?: { readonly original_affine: Nums; readonly reoriented_affine?: Nums };
  readonly written?: Written | "as base";
  readonly fixed?: Written | "same file";
}

export interface Flip {
  readonly winner: string;
  readonly pixdim_0_3: number[];
  readonly quatern_qoffset: number[];
  readonly srow: number[];
}

export interface Expected {
  readonly cases: Record<string, { readonly file: string } & Record<(typeof NIFTI_READERS)[number], Read>>;
  readonly grid: Record<string, Record<string, string>>;
  readonly flips: Record<string, Record<string, Flip>>;
  readonly two_files: Record<
    string,
    Record<string, { readonly error?: unknown; readonly shape: number[]; readonly sha: string }>
  >;
  readonly png: Record<string, Read & { readonly values?: number[][] }>;
  readonly png_written: Record<string, { readonly values: number[]; readonly bytes25: number[] }>;
}

export function readExpected(): Expected {
  return JSON.parse(Deno.readTextFileSync(`${HEADERS}expected.json`));
}

/** First 16 hex digits of the SHA-256 of an array's bytes, as the script computes them. */
export async function sha(array: Uint8Array<ArrayBuffer> | Float32Array<ArrayBuffer>): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", array);
  return new Uint8Array(digest).toHex().slice(0, 16);
}

function toNumber(value: Num): number {
  return typeof value === "number" ? value : { nan: NaN, inf: Infinity, "-inf": -Infinity }[value];
}

/** True if both have the same nesting and all numbers agree within `tolerance` of the larger of 1 and the expected one. */
export function agree(actual: unknown, expected: Nums, tolerance = 0): boolean {
  if (Array.isArray(expected)) {
    return Array.isArray(actual) && actual.length === expected.length &&
      expected.every((value, i) => agree(actual[i], value, tolerance));
  }
  if (typeof actual !== "number" || typeof expected === "object") return false;
  const wanted = toNumber(expected);
  if (Number.isNaN(wanted)) return Number.isNaN(actual);
  return actual === wanted || Math.abs(actual - wanted) <= tolerance * Math.max(1, Math.abs(wanted));
}

/** Labels 0..4 in turn, as the script's SEG. */
export function labelsFor(voxels: number): Uint8Array {
  return Uint8Array.from({ length: voxels }, (_, i) => i % 5);
}

const CUT = "voxels are missing: upstream fills in zeros without a word";
const DAMAGED = "the gzip checksum is missing or wrong, so that voxels can't be trusted";
const NO_GEOMETRY = "no segmentation could be given its geometry (upstream's writer fails, or writes NaN)";
const COMPONENTS = "upstream takes the voxels' components for the x axis: garbage";

const everyReader = (reason: string) =>
  Object.fromEntries(NIFTI_READERS.map((reader) => [reader, reason])) as Partial<Record<ReaderName, string>>;
const nibabelReaders = (reason: string) => ({ NibabelIO: reason, NibabelIOWithReorient: reason });

/** Where an image is refused though upstream reads it, and why. */
export const REFUSED: Readonly<Record<string, Partial<Record<ReaderName, string>>>> = {
  type_rgb24: { SimpleITKIO: COMPONENTS },
  type_rgba32: { SimpleITKIO: COMPONENTS },
  dim5_vector: { SimpleITKIO: COMPONENTS },
  dim5_dispvect: { SimpleITKIO: COMPONENTS },
  s_only_pixdim_nan: nibabelReaders("the spacing is NaN, which no preprocessing can use"),
  s_zero_matrix: { NibabelIO: NO_GEOMETRY },
  s_zero_matrix_q: { NibabelIO: NO_GEOMETRY },
  s_nan: { NibabelIO: NO_GEOMETRY },
  voff_0: nibabelReaders("nibabel reads the header's bytes as voxels"),
  gz_trunc_half: { SimpleITKIO: CUT },
  gz_trunc_trailer8: { SimpleITKIO: DAMAGED },
  gz_trunc_trailer4: { SimpleITKIO: DAMAGED },
  gz_data_short: { SimpleITKIO: CUT },
  gz_data_half: { SimpleITKIO: CUT },
  gz_data_none: { SimpleITKIO: CUT },
  nii_data_short: { SimpleITKIO: CUT },
  large_trunc_half: { SimpleITKIO: CUT },
  large_trunc_trailer8: everyReader(DAMAGED),
  large_crc_wrong: nibabelReaders(DAMAGED),
  large_bitflip: nibabelReaders(DAMAGED),
  large_data_half: { SimpleITKIO: CUT },
};

/** Where an image is read though upstream refuses it, and why. */
export const READ_ANYWAY: Readonly<Record<string, Partial<Record<ReaderName, string>>>> = {
  gz_trailing_garbage: nibabelReaders("nibabel reads it too if it is larger than 1 KiB; the voxels' checksum is right"),
};
