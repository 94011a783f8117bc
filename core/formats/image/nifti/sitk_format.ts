/**
 * NIfTI as SimpleITKIO reads and writes it: the geometry is ITK's, in LPS; the volumes of a 4-D file are channels.
 * SimpleITKIOWithReorient (nnU-Net 2.6.3 and later) turns 3-D images to RAS, and segmentations back.
 */
import { UserError } from "../../../base/errors.ts";
import { type ImageFormat, type LabelsToWrite, type OpenedImage, READING, type ReadOptions } from "../image_format.ts";
import { arrayOf, requireTurnable, type SitkReader, writtenArray } from "../itk/array.ts";
import {
  BUFFER_BYTES,
  checkSize,
  filesOfNifti,
  NIFTI_ENDINGS,
  type OpenedNifti,
  openNifti,
  readVoxels,
  storedType,
} from "./file.ts";
import { interpretAsItk } from "./sitk_geometry.ts";
import { smallNumbers, type VoxelTarget } from "../voxel_order.ts";
import { complexWarning, type VoxelConversion } from "./voxels.ts";
import { type StoredVolume, writeNifti } from "./write.ts";
import { labelType, sitkHeader } from "./written_header.ts";

export const SITK_NIFTI: ImageFormat = sitkFormat("SimpleITKIO");
export const SITK_REORIENTED_NIFTI: ImageFormat = sitkFormat("SimpleITKIOWithReorient");

function sitkFormat(reader: SitkReader): ImageFormat {
  return {
    name: "NIfTI",
    endings: NIFTI_ENDINGS,
    channelsPerFile: reader === "SimpleITKIO" ? "as stored" : "one",
    labelsAdvice: "a 3-D image",
    filesOf: filesOfNifti,
    open: async (file, options) => await openNifti(file, (nifti) => interpretAsSitk(nifti, reader, options)),
    write: async (file, segmentation) => await writeNifti(file, segmentation, storedVolume(reader, segmentation)),
  };
}

/** The image that a file is to a reader class. @throws UserError naming the file if it is none */
export function interpretAsSitk(nifti: OpenedNifti, reader: SitkReader, options: ReadOptions): OpenedImage {
  const { file, header } = nifti;
  const itk = interpretAsItk(header, file);
  if ("problem" in itk) throw new UserError({ doing: READING, file, problem: itk.problem, remedy: itk.remedy });
  const { size, channels, dataStart } = itk;
  requireTurnable(itk, reader, file);
  checkSize(nifti, dataStart, size, channels);
  const conversion: VoxelConversion = {
    datatype: header.datatype,
    littleEndian: header.littleEndian,
    arithmetic: "itk",
    scaling: itk.scaling,
    zeroNonFinite: options.nonFinite === "asUpstream",
  };
  const { geometry, origin, strides } = arrayOf(itk, reader);
  const volumeStride = size[0] * size[1] * size[2];
  const read = async (data: VoxelTarget["data"], offset: number) =>
    await readVoxels(nifti, dataStart, size, channels, conversion, {
      data,
      offset: offset + origin,
      strides,
      volumeStride,
    });
  return {
    file,
    channels,
    geometry,
    storedType: storedType(nifti),
    bufferBytes: BUFFER_BYTES,
    warnings: [...itk.warnings, ...complexWarning(nifti.file, nifti.header.datatype), ...misnamedWarning(nifti)],
    read: (data, offset) => read(data, offset),
    ...smallNumbers(conversion, (data) => read(data, 0)),
    [Symbol.asyncDispose]: () => nifti[Symbol.asyncDispose](),
  };
}

function storedVolume(reader: SitkReader, segmentation: LabelsToWrite): StoredVolume {
  const { geometry, order } = writtenArray(reader, segmentation);
  const header = sitkHeader(
    order.size.slice(0, geometry.spacing.length),
    geometry,
    labelType(segmentation.bytesPerLabel),
  );
  return { header, ...order };
}

function misnamedWarning({ imageFile, source }: OpenedNifti): string[] {
  return source.misnamed ? [`${imageFile}: it is not gzip-compressed, though its name ends in .gz.`] : [];
}
