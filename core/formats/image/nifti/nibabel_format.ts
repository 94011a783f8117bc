/**
 * NIfTI as NibabelIO and NibabelIOWithReorient read and write it: the geometry is an affine in RAS, files are 3-D, and the second turns
 * arrays to RAS+. Unlike 2.5.1, and like 2.5.2 and later, every orientation is turned back rightly when a segmentation is written.
 */
import { UserError } from "../../../base/errors.ts";
import type { Vec3 } from "../../../base/shape.ts";
import type { ImageGeometry, ReaderName } from "../image.ts";
import { type ImageFormat, type LabelsToWrite, type OpenedImage, READING } from "../image_format.ts";
import {
  BUFFER_BYTES,
  checkExtensions,
  checkSize,
  filesOfNifti,
  NIFTI_ENDINGS,
  type OpenedNifti,
  openNifti,
  readVoxels,
  storedType,
} from "./file.ts";
import { columnLengths } from "./matrix.ts";
import {
  interpretAsNibabel,
  inverseOrientation,
  isRas,
  linearPart,
  type NibabelImage,
  orientationOf,
  reorientedAffine,
  reorientedOrder,
  reorientedSize,
} from "./nibabel_geometry.ts";
import { smallNumbers, type VoxelTarget } from "../voxel_order.ts";
import { complexWarning, type VoxelConversion } from "./voxels.ts";
import { type StoredVolume, writeNifti } from "./write.ts";
import { nibabelHeader } from "./written_header.ts";

/** The classes whose library is nibabel. */
export type NibabelReader = Extract<ReaderName, "NibabelIO" | "NibabelIOWithReorient">;

export const NIBABEL_NIFTI: ImageFormat = nibabelFormat("NibabelIO");
export const REORIENTED_NIFTI: ImageFormat = nibabelFormat("NibabelIOWithReorient");

function nibabelFormat(reader: NibabelReader): ImageFormat {
  return {
    name: "NIfTI",
    endings: NIFTI_ENDINGS,
    channelsPerFile: "one",
    labelsAdvice: "a 3-D image",
    filesOf: filesOfNifti,
    open: async (file) => await openNifti(file, (nifti) => interpretForNibabel(nifti, reader)),
    write: async (file, segmentation) => await writeNifti(file, segmentation, storedVolume(reader, segmentation)),
  };
}

/** The image that a file is to a reader class. @throws UserError naming the file if it is none */
export async function interpretForNibabel(opened: OpenedNifti, reader: NibabelReader): Promise<OpenedImage> {
  const { file, header } = opened;
  if (opened.source.misnamed) {
    const problem = "it is not gzip-compressed, though its name ends in .gz";
    throw new UserError({ doing: READING, file, problem, remedy: "rename it to .nii, or compress it with gzip" });
  }
  if (header.version === 0 && opened.file === opened.imageFile) {
    const problem = "it has no NIfTI magic, and nibabel takes it for no image";
    throw new UserError({ doing: READING, file, problem, remedy: "save it as NIfTI" });
  }
  const image = interpretAsNibabel(header);
  if ("problem" in image) throw new UserError({ doing: READING, file, problem: image.problem, remedy: image.remedy });
  const { size, dataStart } = image;
  checkSize(opened, dataStart, size, 1);
  const nifti = await checkExtensions(opened, dataStart);
  const conversion: VoxelConversion = {
    datatype: header.datatype,
    littleEndian: header.littleEndian,
    arithmetic: "nibabel",
    scaling: image.scaling,
    zeroNonFinite: false,
  };
  const { geometry, origin, strides } = arrayOf(image, reader, header.version);
  const read = async (data: VoxelTarget["data"], offset: number) =>
    await readVoxels(nifti, dataStart, size, 1, conversion, {
      data,
      offset: offset + origin,
      strides,
      volumeStride: data.length,
    });
  return {
    file,
    channels: 1,
    geometry,
    storedType: storedType(nifti),
    bufferBytes: BUFFER_BYTES,
    warnings: complexWarning(nifti.file, nifti.header.datatype),
    read: (data, offset) => read(data, offset),
    ...smallNumbers(conversion, (data) => read(data, 0)),
    [Symbol.asyncDispose]: () => nifti[Symbol.asyncDispose](),
  };
}

/** The array that a file becomes: its geometry, and where in it the file's first voxel and its neighbours along x, y, z go. */
function arrayOf(
  { affine, size, zooms }: NibabelImage,
  reader: NibabelReader,
  headerVersion: number,
): { readonly geometry: ImageGeometry; readonly origin: number; readonly strides: Vec3 } {
  const orientation = orientationOf(affine);
  if (reader === "NibabelIO" || isRas(orientation)) {
    return {
      geometry: {
        reader,
        spacing: [zooms[2], zooms[1], zooms[0]],
        shape: [size[2], size[1], size[0]],
        nibabel: reader === "NibabelIO"
          ? { originalAffine: affine }
          : { originalAffine: affine, reorientedAffine: affine },
      },
      origin: 0,
      strides: [1, size[0], size[0] * size[1]],
    };
  }
  const outSize = reorientedSize(size, orientation);
  const outAffine = reorientedAffine(affine, size, orientation);
  const outZooms = storedPrecision(columnLengths(linearPart(outAffine)), headerVersion);
  const { origin, strides } = reorientedOrder(size, outSize, orientation);
  return {
    geometry: {
      reader,
      spacing: [outZooms[2], outZooms[1], outZooms[0]],
      shape: [outSize[2], outSize[1], outSize[0]],
      nibabel: { originalAffine: affine, reorientedAffine: outAffine },
    },
    origin,
    strides,
  };
}

/** Zooms as the header of a reoriented image holds them: float32, but for NIfTI-2. */
function storedPrecision(zooms: readonly [number, number, number], version: number): [number, number, number] {
  return version === 2 ? [...zooms] : [Math.fround(zooms[0]), Math.fround(zooms[1]), Math.fround(zooms[2])];
}

function storedVolume(reader: NibabelReader, { labels, geometry, bytesPerLabel }: LabelsToWrite): StoredVolume {
  const { nibabel } = geometry;
  if (!nibabel) throw new TypeError(`${reader}'s geometry is missing`);
  const [nz, ny, nx] = labels.shape;
  const { originalAffine, reorientedAffine: ras } = nibabel;
  const orientation = orientationOf(originalAffine);
  if (reader === "NibabelIO" || !ras || isRas(orientation)) {
    const affine = reader === "NibabelIO" ? originalAffine : ras ?? originalAffine;
    const header = nibabelHeader([nx, ny, nz], affine, bytesPerLabel);
    return { header, size: [nx, ny, nz], origin: 0, strides: [1, nx, nx * ny] };
  }
  // Stored axis i of the file is axis orientation.axis[i] of the RAS array, perhaps turned round.
  const back = inverseOrientation(orientation);
  const size = reorientedSize([nx, ny, nz], back);
  const header = nibabelHeader(size, reorientedAffine(ras, [nx, ny, nz], back), bytesPerLabel);
  const { origin, strides } = reorientedOrder(size, [nx, ny, nz], orientation);
  return { header, size, origin, strides };
}
