/**
 * The header of a NIfTI-1, NIfTI-2 or Analyze 7.5 file, field by field, as stored. What the fields mean differs between ITK and
 * nibabel: see sitk_geometry.ts and nibabel_geometry.ts.
 *
 * nifti-reader-js is not used: it wants the whole decompressed file in one buffer, repairs fields as it reads them (so that the
 * two libraries' rules could not be told apart), and does not read NIfTI-2's quaternion in double precision. The header is 348
 * bytes at fixed offsets; https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h and nifti2.h.
 */

/** A header's fields, unrepaired. Numbers of NIfTI-1 are float32 or int16 values, exactly. */
export interface NiftiHeader {
  /** 0 is Analyze 7.5: a NIfTI-1 header without its magic. */
  readonly version: 0 | 1 | 2;
  readonly littleEndian: boolean;
  /** True if header and voxels are in one file by the magic (`n+1`, `n+2`). */
  readonly singleFile: boolean;
  readonly sizeofHeader: number;
  /** dim[0] is the number of dimensions; 8 numbers. */
  readonly dim: readonly number[];
  readonly datatype: number;
  readonly intentCode: number;
  /** 8 numbers; pixdim[0] is qfac. */
  readonly pixdim: readonly number[];
  readonly voxOffset: number;
  readonly slope: number;
  readonly intercept: number;
  readonly units: number;
  readonly qformCode: number;
  readonly sformCode: number;
  readonly quaternion: readonly [number, number, number];
  readonly qoffset: readonly [number, number, number];
  /** The sform, three rows of four. */
  readonly srow: readonly number[];
}

/** Bytes of a NIfTI-1 header, and of NIfTI-2's. */
export const NIFTI1_HEADER_BYTES = 348;
export const NIFTI2_HEADER_BYTES = 540;

/**
 * Parses the start of a file (at least 348 bytes; 540 for NIfTI-2). Null if it is no such header: nothing is repaired, but the byte
 * order is found as nifti_clib does, by dim[0] being in 1..7, or by sizeof_hdr where dim[0] is 0.
 */
export function parseNiftiHeader(bytes: Uint8Array): NiftiHeader | null {
  if (bytes.length < NIFTI1_HEADER_BYTES) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const littleEndian2 = view.getInt32(0, true) === NIFTI2_HEADER_BYTES;
  const magic2 = text(bytes, 4, 3);
  if (magic2 === "n+2" || magic2 === "ni2") {
    if (bytes.length < NIFTI2_HEADER_BYTES) return null;
    if (!littleEndian2 && view.getInt32(0, false) !== NIFTI2_HEADER_BYTES) return null;
    return parseVersion2(view, littleEndian2, magic2 === "n+2");
  }
  const littleEndian = byteOrder(view);
  if (littleEndian === null) return null;
  return parseVersion1(view, littleEndian, text(bytes, 344, 3));
}

function byteOrder(view: DataView): boolean | null {
  const inRange = (dimensions: number) => dimensions >= 1 && dimensions <= 7;
  if (inRange(view.getInt16(40, true))) return true;
  if (inRange(view.getInt16(40, false))) return false;
  if (view.getInt16(40, true) !== 0) return null;
  if (view.getInt32(0, true) === NIFTI1_HEADER_BYTES) return true;
  return view.getInt32(0, false) === NIFTI1_HEADER_BYTES ? false : null;
}

function parseVersion1(view: DataView, littleEndian: boolean, magic: string): NiftiHeader {
  const i16 = (at: number) => view.getInt16(at, littleEndian);
  const f32 = (at: number) => view.getFloat32(at, littleEndian);
  const floats = (at: number, count: number) => Array.from({ length: count }, (_, i) => f32(at + 4 * i));
  return {
    version: magic === "n+1" || magic === "ni1" ? 1 : 0,
    littleEndian,
    singleFile: magic === "n+1",
    sizeofHeader: view.getInt32(0, littleEndian),
    dim: Array.from({ length: 8 }, (_, i) => i16(40 + 2 * i)),
    datatype: i16(70),
    intentCode: i16(68),
    pixdim: floats(76, 8),
    voxOffset: f32(108),
    slope: f32(112),
    intercept: f32(116),
    units: view.getUint8(123),
    qformCode: i16(252),
    sformCode: i16(254),
    quaternion: [f32(256), f32(260), f32(264)],
    qoffset: [f32(268), f32(272), f32(276)],
    srow: floats(280, 12),
  };
}

function parseVersion2(view: DataView, littleEndian: boolean, singleFile: boolean): NiftiHeader {
  const i32 = (at: number) => view.getInt32(at, littleEndian);
  const i64 = (at: number) => Number(view.getBigInt64(at, littleEndian));
  const f64 = (at: number) => view.getFloat64(at, littleEndian);
  const floats = (at: number, count: number) => Array.from({ length: count }, (_, i) => f64(at + 8 * i));
  return {
    version: 2,
    littleEndian,
    singleFile,
    sizeofHeader: NIFTI2_HEADER_BYTES,
    dim: Array.from({ length: 8 }, (_, i) => i64(16 + 8 * i)),
    datatype: view.getInt16(12, littleEndian),
    intentCode: i32(504),
    pixdim: floats(104, 8),
    voxOffset: i64(168),
    slope: f64(176),
    intercept: f64(184),
    units: i32(500) & 0xff,
    qformCode: i32(344),
    sformCode: i32(348),
    quaternion: [f64(352), f64(360), f64(368)],
    qoffset: [f64(376), f64(384), f64(392)],
    srow: floats(400, 12),
  };
}

function text(bytes: Uint8Array, at: number, length: number): string {
  return String.fromCharCode(...bytes.subarray(at, at + length));
}
