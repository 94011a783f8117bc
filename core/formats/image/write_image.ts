/**
 * Writes segmentations with the geometry of their image, as nnU-Net's writers do, but never modulo 256: uint8, or uint16 where a label
 * is above 255 (as 2.6 and later), and NibabelIOWithReorient turns every orientation back rightly (as 2.5.2 and later).
 */
import zlib from "node:zlib";
import { Interrupted } from "../../base/errors.ts";
import { writeAll, writeAtomically } from "../../base/files.ts";
import type { Vec3 } from "../../base/shape.ts";
import type { ImageGeometry, LabelVolume, ReaderName } from "./image.ts";
import { inverseOrientation, isRas, orientationOf, reorientedAffine, reorientedSize } from "./nibabel_geometry.ts";
import { nibabelHeader, sitkHeader } from "./nifti_write.ts";
import { encodeGrey16Png, encodeGreyPng } from "./png.ts";

const DOING = "writing the segmentation";

/** Deflate level of .nii.gz: on label maps 4 takes about the time of 1 and half its bytes; 6 (ITK's) takes twice the time for 20 % less. */
const GZIP_LEVEL = 4;

/** Bytes that are packed and written at a time. */
const PIECE_BYTES = 1 << 20;

/**
 * Writes `labels` (array order of the reader, as the image was read) to `file`, whole or not at all. The ending chooses the format:
 * `.nii.gz`, `.nii` or, for NaturalImage2DIO, `.png`.
 *
 * @throws UserError if the file cannot be written; RangeError for labels below 0 or of another shape than the image;
 * Interrupted if `signal` aborts.
 */
export async function writeLabels(
  reader: ReaderName,
  file: string,
  labels: LabelVolume,
  geometry: ImageGeometry,
  signal?: AbortSignal,
): Promise<void> {
  const { shape } = labels;
  if (shape.some((size, i) => size !== geometry.shape[i]) || labels.data.length !== shape[0] * shape[1] * shape[2]) {
    throw new RangeError(`labels of shape ${shape.join(" x ")} for an image of shape ${geometry.shape.join(" x ")}`);
  }
  const bytesPerVoxel = highestLabel(labels) > 255 ? 2 : 1;
  if (reader === "NaturalImage2DIO") {
    const bytes = encodePicture(labels, bytesPerVoxel);
    await writeAtomically(file, bytes, { doing: DOING, signal });
    return;
  }
  const volume = storedVolume(reader, labels, geometry, bytesPerVoxel);
  const pieces = voxelPieces(labels.data, volume, bytesPerVoxel, signal);
  await writeAtomically(file, async (out) => {
    if (file.toLowerCase().endsWith(".gz")) await writeGzip(out, volume.header, pieces);
    else {
      await writeAll(out, volume.header);
      for (const piece of pieces) await writeAll(out, piece);
    }
  }, { doing: DOING, signal });
}

function highestLabel({ data }: LabelVolume): number {
  let [lowest, highest] = [0, 0];
  for (let i = 0; i < data.length; i++) {
    const label = data[i];
    if (label > highest) highest = label;
    else if (label < lowest) lowest = label;
  }
  if (lowest < 0) throw new RangeError(`a segmentation to be written holds the label ${lowest}; labels are 0 or more`);
  return highest;
}

function encodePicture({ data, shape }: LabelVolume, bytesPerVoxel: 1 | 2): Uint8Array {
  const [slices, height, width] = shape;
  if (slices !== 1) throw new RangeError(`a picture has one slice, not ${slices}`);
  return bytesPerVoxel === 1
    ? encodeGreyPng(width, height, data instanceof Uint8Array ? data : Uint8Array.from(data))
    : encodeGrey16Png(width, height, data instanceof Uint16Array ? data : Uint16Array.from(data));
}

/** The file's voxel order: size (x, y, z), and where in the label array its first voxel and its neighbours are. */
interface StoredVolume {
  readonly header: Uint8Array;
  readonly size: Vec3;
  readonly origin: number;
  readonly strides: Vec3;
}

function storedVolume(
  reader: ReaderName,
  { shape }: LabelVolume,
  { sitk, nibabel }: ImageGeometry,
  bytesPerVoxel: 1 | 2,
): StoredVolume {
  const size: Vec3 = [shape[2], shape[1], shape[0]];
  const steps: Vec3 = [1, size[0], size[0] * size[1]];
  if (reader === "SimpleITKIO") {
    if (!sitk) throw new TypeError("SimpleITKIO's geometry is missing");
    const header = sitkHeader(size.slice(0, sitk.spacing.length), sitk, bytesPerVoxel);
    return { header, size, origin: 0, strides: steps };
  }
  if (!nibabel) throw new TypeError(`${reader}'s geometry is missing`);
  const orientation = orientationOf(nibabel.originalAffine);
  if (reader === "NibabelIO" || !nibabel.reorientedAffine || isRas(orientation)) {
    const affine = reader === "NibabelIO" ? nibabel.originalAffine : nibabel.reorientedAffine ?? nibabel.originalAffine;
    return {
      header: nibabelHeader([size[0], size[1], size[2]], affine, bytesPerVoxel),
      size,
      origin: 0,
      strides: steps,
    };
  }
  // Stored axis i of the file is axis orientation.axis[i] of the RAS array, perhaps turned round.
  const back = inverseOrientation(orientation);
  const stored = reorientedSize([size[0], size[1], size[2]], back);
  const affine = reorientedAffine(nibabel.reorientedAffine, [size[0], size[1], size[2]], back);
  const strides: [number, number, number] = [0, 0, 0];
  let origin = 0;
  for (let i = 0; i < 3; i++) {
    const step = steps[orientation.axis[i]];
    strides[i] = orientation.flip[i] ? -step : step;
    if (orientation.flip[i]) origin += step * (stored[i] - 1);
  }
  return { header: nibabelHeader(stored, affine, bytesPerVoxel), size: stored, origin, strides };
}

/** The file's voxels as bytes, piece by piece; a piece is only valid until the next one is asked for. */
function* voxelPieces(
  data: LabelVolume["data"],
  { size, origin, strides }: StoredVolume,
  bytesPerVoxel: 1 | 2,
  signal?: AbortSignal,
): Generator<Uint8Array, void, void> {
  const [nx, ny, nz] = size;
  const total = nx * ny * nz;
  const contiguous = strides[0] === 1 && strides[1] === nx && strides[2] === nx * ny;
  const perPiece = PIECE_BYTES / bytesPerVoxel;
  for (let first = 0; first < total; first += perPiece) {
    if (signal?.aborted) throw new Interrupted(DOING);
    const count = Math.min(perPiece, total - first);
    if (contiguous && bytesPerVoxel === 1 && data instanceof Uint8Array) {
      yield data.subarray(first, first + count);
      continue;
    }
    // New memory for each piece: zlib may still be reading the last one.
    const values = bytesPerVoxel === 1 ? new Uint8Array(count) : new Uint16Array(count);
    if (contiguous) values.set(data.subarray(first, first + count));
    else gather(data, values, first, size, origin, strides);
    yield new Uint8Array(values.buffer);
  }
}

/** Fills `values` with the file's voxels from the stored position `first` on. */
function gather(
  data: LabelVolume["data"],
  values: Uint8Array | Uint16Array,
  first: number,
  [nx, ny]: Vec3,
  origin: number,
  strides: Vec3,
): void {
  let x = first % nx;
  let row = (first - x) / nx;
  for (let i = 0; i < values.length; row++, x = 0) {
    const y = row % ny;
    let at = origin + x * strides[0] + y * strides[1] + ((row - y) / ny) * strides[2];
    const end = Math.min(values.length, i + nx - x);
    for (; i < end; i++, at += strides[0]) values[i] = data[at];
  }
}

async function writeGzip(out: Deno.FsFile, header: Uint8Array, pieces: Iterable<Uint8Array>): Promise<void> {
  const gzip = zlib.createGzip({ level: GZIP_LEVEL, chunkSize: PIECE_BYTES });
  const feed = async () => {
    try {
      gzip.write(header);
      for (const piece of pieces) {
        if (!gzip.write(piece)) await new Promise<void>((resolve) => gzip.once("drain", resolve));
      }
      gzip.end();
    } catch (error) {
      gzip.destroy(error instanceof Error ? error : new Error(String(error)));
    }
  };
  const feeding = feed();
  try {
    for await (const packed of gzip) await writeAll(out, packed as Uint8Array);
  } finally {
    gzip.destroy();
    gzip.emit("drain");
    await feeding;
  }
}
