/**
 * Images and segmentations as the viewer takes them: packed NIfTI on one grid, with voxels in one order, whatever files and readers they
 * come from. An image is int16 where that holds it, else float32; labels are uint8 where that holds them, else int16.
 */
import { Readable } from "node:stream";
import zlib from "node:zlib";
import { UserError } from "../../core/base/errors.ts";
import { freeArray } from "../../core/base/free_array.ts";
import { voxelCount } from "../../core/base/shape.ts";
import type { ImageGeometry, ReaderName } from "../../core/formats/image/image.ts";
import { sitkHeader } from "../../core/formats/image/nifti/written_header.ts";
import { readerClass } from "../../core/formats/image/readers.ts";
import { type CaseHeaders, readCase, readLabels } from "../../core/formats/image/read_image.ts";
import { itkGeometry } from "../../core/formats/image/write_image.ts";

const PIECE_BYTES = 1 << 20;
/** Rows of the viewer's table: more than any model has. */
const MOST_LABELS = 1000;

/** Takes the next bytes of a .nii.gz. */
export type Sink = (bytes: Uint8Array) => Promise<void>;

/** Judges a file by its header, before its voxels are read. @throws UserError */
export type Judge = (headers: CaseHeaders) => void;

/**
 * Gives the first channel of `source`, packed, to `sink`.
 * @returns the image's grid
 * @throws UserError if it cannot be read; what `sink` throws
 */
export async function packViewImage(
  reader: ReaderName,
  source: string,
  sink: Sink,
  judge?: Judge,
): Promise<ImageGeometry> {
  const { data, geometry } = await readCase(reader, [source], { ...(judge && { judge }) });
  try {
    const voxels = data.subarray(0, voxelCount(geometry.shape));
    await pack(asInt16(voxels) ?? voxels, geometry, sink);
  } finally {
    freeArray(data);
  }
  return geometry;
}

/** Gives a segmentation to `sink`, as {@link packViewImage} does. Labels below 0, an experiment's "ignore", are background. */
export async function packViewLabels(
  reader: ReaderName,
  source: string,
  sink: Sink,
  judge?: Judge,
): Promise<ImageGeometry> {
  const { labels: { data }, geometry } = await readLabels(reader, source, { ...(judge && { judge }) });
  try {
    const voxels = asUint8(data);
    if (voxels instanceof Int16Array) requireSegmentation(voxels, source);
    await pack(voxels, geometry, sink);
  } finally {
    freeArray(data);
  }
  return geometry;
}

/** True for images whose voxels have a size in millimetres. */
export function hasVolume({ reader }: ImageGeometry): boolean {
  return readerClass(reader).geometry !== "picture";
}

/** The grid as SimpleITKIO has it, in three dimensions; pictures have voxels of 1 mm. */
function viewGeometry(geometry: ImageGeometry): ImageGeometry {
  const [, y, x] = geometry.spacing;
  return itkGeometry(hasVolume(geometry) ? geometry : { ...geometry, spacing: [1, y, x] });
}

/** The same numbers in the same memory, or undefined if one is not of that type. */
function asInt16(data: Float32Array): Int16Array | undefined {
  for (let i = 0; i < data.length; i++) {
    const value = data[i];
    if ((value << 16 >> 16) !== value) return undefined;
  }
  // An element is read before its bytes are written.
  const small = new Int16Array(data.buffer, data.byteOffset, data.length);
  for (let i = 0; i < data.length; i++) small[i] = data[i];
  return small;
}

/** Labels from 0, in the same memory, as bytes if they are below 256. */
function asUint8(data: Int16Array): Uint8Array | Int16Array {
  let highest = 0;
  for (let i = 0; i < data.length; i++) {
    const label = data[i];
    if (label > highest) highest = label;
    else if (label < 0) data[i] = 0;
  }
  if (highest > 255) return data;
  const small = new Uint8Array(data.buffer, data.byteOffset, data.length);
  for (let i = 0; i < data.length; i++) small[i] = data[i];
  return small;
}

/** @throws UserError if there are so many labels that it will be an image */
function requireSegmentation(labels: Int16Array, file: string): void {
  const isThere = new Uint8Array(1 << 15);
  for (let i = 0; i < labels.length; i++) isThere[labels[i]] = 1;
  const count = isThere.reduce((sum, one) => sum + one, 0);
  if (count <= MOST_LABELS) return;
  const problem = `it holds ${count} different labels, and at most ${MOST_LABELS} are shown`;
  throw new UserError({ doing: "reading the segmentation", file, problem, remedy: "check that this is no image" });
}

/** Packs a volume on the runtime's own threads, a piece at a time. */
async function pack(voxels: Uint8Array | Int16Array | Float32Array, geometry: ImageGeometry, sink: Sink) {
  const { shape: [z, y, x], sitk } = viewGeometry(geometry);
  if (!sitk) throw new TypeError("a grid for the viewer is ITK's");
  const type = voxels instanceof Uint8Array ? "uint8" : voxels instanceof Int16Array ? "int16" : "float32";
  const header = sitkHeader([x, y, z], sitk, type);
  const bytes = new Uint8Array(voxels.buffer, voxels.byteOffset, voxels.byteLength);
  const gzip = Readable.from(piecesOf([header, bytes])).pipe(zlib.createGzip({ level: 1 }));
  for await (const piece of gzip) await sink(piece as Uint8Array);
}

function* piecesOf(parts: readonly Uint8Array[]): Generator<Uint8Array> {
  for (const part of parts) {
    for (let at = 0; at < part.length; at += PIECE_BYTES) yield part.subarray(at, at + PIECE_BYTES);
  }
}
