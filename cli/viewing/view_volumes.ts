/**
 * Images and segmentations as the viewer takes them: NIfTI on one grid, with voxels in one order, whatever files and readers they come
 * from. An image is int16 where that holds it, else float32; a segmentation is as writers make it.
 */
import { Readable } from "node:stream";
import zlib from "node:zlib";
import { writeAll, writeAtomically } from "../../core/base/files.ts";
import { freeArray } from "../../core/base/free_array.ts";
import { voxelCount } from "../../core/base/shape.ts";
import type { ImageGeometry, ReaderName } from "../../core/formats/image/image.ts";
import { sitkHeader } from "../../core/formats/image/nifti/written_header.ts";
import { readerClass } from "../../core/formats/image/readers.ts";
import { type CaseHeaders, readCase, readLabels } from "../../core/formats/image/read_image.ts";
import { itkGeometry, writeLabels } from "../../core/formats/image/write_image.ts";

/** Fields of a NIfTI-1 header: datatype and bits of a voxel. */
const [DATATYPE, BITPIX] = [70, 72];
const [INT16, FLOAT32] = [4, 16];
const PIECE_BYTES = 1 << 20;
const DOING = "writing the image for the viewer";

export interface ViewOptions {
  /** As {@link readCase}'s. */
  readonly judge?: (headers: CaseHeaders) => void;
  readonly signal?: AbortSignal;
}

/**
 * Writes the first channel of `source` as `target` (.nii.gz).
 * @returns the image's grid
 * @throws UserError if it cannot be read or written; Interrupted if `signal` aborts
 */
export async function writeViewImage(
  reader: ReaderName,
  source: string,
  target: string,
  { judge, signal }: ViewOptions = {},
): Promise<ImageGeometry> {
  const { data, geometry } = await readCase(reader, [source], { ...(judge && { judge }) });
  try {
    const { shape: [z, y, x], sitk } = viewGeometry(geometry);
    if (!sitk) throw new TypeError("a grid for the viewer is ITK's");
    const header = sitkHeader([x, y, z], { ...sitk }, 2);
    const voxels = data.subarray(0, voxelCount(geometry.shape));
    const small = asInt16(voxels);
    const fields = new DataView(header.buffer, header.byteOffset);
    fields.setInt16(DATATYPE, small ? INT16 : FLOAT32, true);
    fields.setInt16(BITPIX, small ? 16 : 32, true);
    const { buffer, byteOffset, byteLength } = small ?? voxels;
    const bytes = new Uint8Array(buffer, byteOffset, byteLength);
    await writeAtomically(target, (file) => writeGzip(file, [header, bytes]), {
      doing: DOING,
      ...(signal && { signal }),
    });
  } finally {
    freeArray(data);
  }
  return geometry;
}

/** Writes a segmentation as `target` (.nii.gz). @returns its grid @throws UserError, Interrupted as {@link writeViewImage} */
export async function writeViewLabels(
  reader: ReaderName,
  source: string,
  target: string,
  { judge, signal }: ViewOptions = {},
): Promise<ImageGeometry> {
  const { labels, geometry } = await readLabels(reader, source, { ...(judge && { judge }) });
  // -1, where an experiment's data has it, is "ignore": nothing to show.
  for (let i = 0; i < labels.data.length; i++) if (labels.data[i] < 0) labels.data[i] = 0;
  await writeLabels("SimpleITKIO", target, labels, viewGeometry(geometry), signal);
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

/** Packs on the runtime's own threads, a piece at a time. */
async function writeGzip(file: Deno.FsFile, parts: readonly Uint8Array[]): Promise<void> {
  const gzip = Readable.from(piecesOf(parts)).pipe(zlib.createGzip({ level: 1 }));
  for await (const piece of gzip) await writeAll(file, piece as Uint8Array);
}

function* piecesOf(parts: readonly Uint8Array[]): Generator<Uint8Array> {
  for (const part of parts) {
    for (let at = 0; at < part.length; at += PIECE_BYTES) yield part.subarray(at, at + PIECE_BYTES);
  }
}
