/**
 * Headers of segmentations as SimpleITK 2.5.7 and nibabel 5.4 write them, byte for byte in what readers look at: both write NIfTI-1,
 * one file, voxels from byte 352, and keep nothing of the image's header but its geometry.
 * Sources: itkNiftiImageIO.cxx (SetNIfTIOrientationFromImageIO), nifti1_io.c, nibabel/nifti1.py (set_sform, set_qform).
 */
import type { Affine, SitkGeometry } from "../image.ts";
import {
  columnLengths,
  determinant,
  divideColumns,
  type Matrix3,
  matrixToQuaternion,
  nearestOrthogonal,
  polarFloat32,
} from "./matrix.ts";
import { linearPart } from "./nibabel_geometry.ts";

/** Bytes before the voxels. */
export const WRITTEN_HEADER_BYTES = 352;

/** NIfTI's code of each type that is written, and its bits. */
const TYPES = {
  uint8: [2, 8],
  int16: [4, 16],
  int32: [8, 32],
  float32: [16, 32],
  float64: [64, 64],
  uint16: [512, 16],
} as const;
export type WrittenType = keyof typeof TYPES;

/** The type of labels. */
export const labelType = (bytesPerLabel: 1 | 2): WrittenType => bytesPerLabel === 1 ? "uint8" : "uint16";

const f = Math.fround;

interface HeaderFields {
  readonly dim: readonly number[];
  readonly pixdim: readonly number[];
  readonly type: WrittenType;
  readonly units: number;
  readonly codes: readonly [number, number];
  readonly quaternion: readonly number[];
  readonly offset: readonly number[];
  /** Three rows of four. */
  readonly srow: readonly number[];
  /** nifti_clib's mark in the unused field `regular`. */
  readonly regular: boolean;
}

/**
 * The header SimpleITKIO's writer gives labels, or an image of another type: qform = sform with codes 1, mm and seconds. `size` is
 * (x, y[, z]).
 */
export function sitkHeader(size: readonly number[], geometry: SitkGeometry, type: WrittenType): Uint8Array {
  const n = geometry.spacing.length;
  const ras = [-1, -1, 1];
  const cosine = (row: number, column: number) => {
    if (row >= n || column >= n) return row === column ? 1 : 0;
    return f(ras[row] * geometry.direction[row * n + column]);
  };
  const matrix = polarFloat32(normalisedColumns(cosine));
  const offset = [0, 1, 2].map((i) => i < n ? f(ras[i] * geometry.origin[i]) : 0);
  const spacing = [0, 1, 2].map((i) => i < n ? f(geometry.spacing[i]) : 1);
  const srow = matrix.flatMap((row, i) => [
    ...row.map((value, j) => i < n && j < n ? f(spacing[j] * value) : value),
    offset[i],
  ]);
  const rotation = polarFloat32(matrix);
  const qfac = determinant(rotation) > 0 ? 1 : -1;
  return header({
    dim: [n, ...size, ...new Array(7 - size.length).fill(1)],
    pixdim: [qfac, ...spacing, 0, 0, 0, 0],
    type,
    units: 10,
    codes: [1, 1],
    quaternion: matrixToQuaternion(proper(rotation, qfac)),
    offset,
    srow,
    regular: true,
  });
}

/** nifti_make_orthog_mat44 before its polar step; it works on the transposed matrix, so on these columns. */
function normalisedColumns(cosine: (row: number, column: number) => number): Matrix3 {
  const columns = [0, 1, 2].map((column) => {
    const v = [cosine(0, column), cosine(1, column), cosine(2, column)];
    const squares = f(f(f(v[0] * v[0]) + f(v[1] * v[1])) + f(v[2] * v[2]));
    if (squares > 0) return v.map((value) => f(value * f(1 / Math.sqrt(squares))));
    return [0, 1, 2].map((row) => row === column ? 1 : 0);
  });
  return [0, 1, 2].map((row) => [columns[0][row], columns[1][row], columns[2][row]] as const);
}

function proper(rotation: Matrix3, qfac: number): Matrix3 {
  return rotation.map(([x, y, z]) => [x, y, qfac * z] as const);
}

/** The header nibabel gives a new image with `affine`: sform code 2, the nearest qform with code 0. `size` is (x, y, z). */
export function nibabelHeader(
  size: readonly [number, number, number],
  affine: Affine,
  bytesPerLabel: 1 | 2,
): Uint8Array {
  const linear = linearPart(affine);
  const zooms = columnLengths(linear);
  const cosines = divideColumns(linear, zooms);
  const qfac = determinant(cosines) > 0 ? 1 : -1;
  const rotation = nearestOrthogonal(proper(cosines, qfac));
  return header({
    dim: [3, ...size, 1, 1, 1, 1],
    pixdim: [qfac, ...zooms, 1, 1, 1, 1],
    type: labelType(bytesPerLabel),
    units: 0,
    codes: [0, 2],
    quaternion: matrixToQuaternion(rotation),
    offset: affine.slice(0, 3).map((row) => row[3]),
    srow: affine.slice(0, 3).flat(),
    regular: false,
  });
}

function header(fields: HeaderFields): Uint8Array {
  const bytes = new Uint8Array(WRITTEN_HEADER_BYTES);
  const view = new DataView(bytes.buffer);
  const floats = (at: number, values: readonly number[]) =>
    values.forEach((value, i) => view.setFloat32(at + 4 * i, value, true));
  view.setInt32(0, 348, true);
  if (fields.regular) view.setUint8(38, "r".charCodeAt(0));
  fields.dim.forEach((value, i) => view.setInt16(40 + 2 * i, value, true));
  const [code, bits] = TYPES[fields.type];
  view.setInt16(70, code, true);
  view.setInt16(72, bits, true);
  floats(76, fields.pixdim);
  floats(108, [WRITTEN_HEADER_BYTES, 1, 0]);
  view.setUint8(123, fields.units);
  view.setInt16(252, fields.codes[0], true);
  view.setInt16(254, fields.codes[1], true);
  floats(256, [...fields.quaternion, ...fields.offset]);
  floats(280, fields.srow);
  bytes.set(new TextEncoder().encode("n+1"), 344);
  return bytes;
}
