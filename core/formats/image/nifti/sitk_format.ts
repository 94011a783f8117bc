/** NIfTI as SimpleITKIO reads and writes it: the geometry is ITK's, in LPS; the volumes of a 4-D file are channels. */
import { UserError } from "../../../base/errors.ts";
import type { Vec3 } from "../../../base/shape.ts";
import { type ImageFormat, type OpenedImage, READING, type ReadOptions } from "../image_format.ts";
import {
  BUFFER_BYTES,
  checkSize,
  complexWarning,
  filesOfNifti,
  NIFTI_ENDINGS,
  type OpenedNifti,
  openNifti,
  readVoxels,
  storedType,
} from "./file.ts";
import { interpretAsItk } from "./sitk_geometry.ts";
import type { VoxelConversion } from "./voxels.ts";
import { writeNifti } from "./write.ts";
import { sitkHeader } from "./written_header.ts";

export const SITK_NIFTI: ImageFormat = {
  name: "NIfTI",
  endings: NIFTI_ENDINGS,
  channelsPerFile: "as stored",
  labelsAdvice: "a 3-D image",
  filesOf: filesOfNifti,
  open: async (file, options) => await openNifti(file, (nifti) => interpret(nifti, options)),
  write: async (file, segmentation) => {
    const { labels: { shape }, geometry: { sitk }, bytesPerLabel } = segmentation;
    if (!sitk) throw new TypeError("SimpleITKIO's geometry is missing");
    const size: Vec3 = [shape[2], shape[1], shape[0]];
    const header = sitkHeader(size.slice(0, sitk.spacing.length), sitk, bytesPerLabel);
    await writeNifti(file, segmentation, { header, size, origin: 0, strides: [1, size[0], size[0] * size[1]] });
  },
};

function interpret(nifti: OpenedNifti, options: ReadOptions): OpenedImage {
  const { file, header } = nifti;
  const itk = interpretAsItk(header, file);
  if ("problem" in itk) throw new UserError({ doing: READING, file, problem: itk.problem, remedy: itk.remedy });
  const { size, channels, geometry: sitk, dataStart } = itk;
  checkSize(nifti, dataStart, size, channels);
  const [sx, sy] = sitk.spacing;
  // A slice has no thickness; upstream gives it one that keeps resampling and tiling in the plane.
  const thickness = itk.dimensions === 2 ? 999 * Math.max(sx, sy) : sitk.spacing[2];
  const conversion: VoxelConversion = {
    datatype: header.datatype,
    littleEndian: header.littleEndian,
    arithmetic: "itk",
    scaling: itk.scaling,
    zeroNonFinite: options.nonFinite === "asUpstream",
  };
  return {
    file,
    channels,
    geometry: {
      reader: "SimpleITKIO",
      spacing: [thickness, sy, sx],
      shape: [size[2], size[1], size[0]],
      sitk,
    },
    storedType: storedType(nifti),
    bufferBytes: BUFFER_BYTES,
    warnings: [...itk.warnings, ...complexWarning(nifti), ...misnamedWarning(nifti)],
    read: async (data, offset) => {
      const strides: Vec3 = [1, size[0], size[0] * size[1]];
      const volumeStride = size[0] * size[1] * size[2];
      return await readVoxels(nifti, dataStart, size, channels, conversion, { data, offset, strides, volumeStride });
    },
    [Symbol.asyncDispose]: () => nifti[Symbol.asyncDispose](),
  };
}

function misnamedWarning({ imageFile, source }: OpenedNifti): string[] {
  return source.misnamed ? [`${imageFile}: it is not gzip-compressed, though its name ends in .gz.`] : [];
}
