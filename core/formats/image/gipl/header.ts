/**
 * The 256 bytes before the voxels of a GIPL file, in big-endian order, as ITK's GiplImageIO (itkGiplImageIO.cxx) reads and writes them:
 * sizes, type, voxel sizes and origin. Orientation, calibration and texts are not looked at.
 */
import type { SitkGeometry } from "../image.ts";
import type { ItkGrid } from "../itk/array.ts";
import { type ImageProblem, itkGeometry } from "../itk/geometry.ts";

export const GIPL_HEADER_BYTES = 256;
const MAGIC = 0xefffe9b0;
const MAGICS = [MAGIC, 0x2ae389b8];

/** Byte positions of the fields. */
const AT = { sizes: 0, type: 8, spacing: 10, text: 26, origin: 204, magic: 252 } as const;

/** NIfTI's codes of GIPL's types; ITK does not read GIPL's integers of 32 bits. */
const TYPES: ReadonlyMap<number, number> = new Map([[1, 2], [7, 256], [8, 2], [15, 4], [16, 512], [64, 16], [65, 64]]);
const TYPE_NAMES = "8 and 16 bits, float and double";

const IDENTITY = { 2: [1, 0, 0, 1], 3: [1, 0, 0, 0, 1, 0, 0, 0, 1] } as const;

export interface GiplHeader {
  readonly grid: ItkGrid;
  /** NIfTI's code of the type. */
  readonly datatype: number;
}

/** @param bytes The file's first bytes, at most 256 */
export function parseGiplHeader(bytes: Uint8Array): GiplHeader | ImageProblem {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < GIPL_HEADER_BYTES || !MAGICS.includes(view.getUint32(AT.magic))) {
    const problem = bytes.length === 0 ? "the file is empty" : "it is not a GIPL file: its magic number is not there";
    return { problem, remedy: "copy the image again, or save it as GIPL" };
  }
  const datatype = TYPES.get(view.getUint16(AT.type));
  if (datatype === undefined) {
    const problem = `its data type is ${view.getUint16(AT.type)}; read are ${TYPE_NAMES}`;
    return { problem, remedy: "save it as one of them" };
  }
  const sizes = [0, 1, 2, 3].map((i) => view.getUint16(AT.sizes + 2 * i));
  const [x, y, z, volumes] = sizes;
  if (x === 0 || y === 0 || (z === 0 && volumes > 1)) {
    return { problem: `its sizes are ${sizes.join(" x ")}`, remedy: "copy or export the image again" };
  }
  const dimensions = z === 0 ? 2 : 3;
  const axes = Array.from({ length: dimensions }, (_, i) => i);
  const spacing = axes.map((i) => view.getFloat32(AT.spacing + 4 * i));
  const origin = axes.map((i) => view.getFloat64(AT.origin + 8 * i));
  const geometry = itkGeometry(spacing, origin, IDENTITY[dimensions]);
  if ("problem" in geometry) return geometry;
  return { grid: { dimensions, size: [x, y, Math.max(1, z)], channels: Math.max(1, volumes), geometry }, datatype };
}

/** Largest size that fits into the header. */
export const MOST_GIPL_VOXELS = 0xffff;

/** The header of a segmentation as SimpleITK 2.5.7 writes it; GIPL keeps no directions. `size` is (x, y, z). */
export function giplHeader(
  size: readonly number[],
  { spacing, origin }: SitkGeometry,
  bytesPerLabel: 1 | 2,
): Uint8Array {
  const bytes = new Uint8Array(GIPL_HEADER_BYTES);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < 4; i++) {
    view.setUint16(AT.sizes + 2 * i, size[i] ?? 1);
    view.setFloat32(AT.spacing + 4 * i, spacing[i] ?? 1);
    view.setFloat64(AT.origin + 8 * i, origin[i] ?? 0);
  }
  view.setUint16(AT.type, bytesPerLabel === 1 ? 8 : 16);
  bytes.set(new TextEncoder().encode("No Patient Information"), AT.text);
  view.setUint32(AT.magic, MAGIC);
  return bytes;
}
