/**
 * NIfTI as SimpleITKIO reads and writes it: the geometry is ITK's, in LPS; the volumes of a 4-D file are channels.
 * SimpleITKIOWithReorient (nnU-Net 2.6.3 and later) turns 3-D images to RAS, and segmentations back.
 */
import { UserError } from "../../../base/errors.ts";
import type { Vec3 } from "../../../base/shape.ts";
import type { ImageGeometry, ReaderName } from "../image.ts";
import { type ImageFormat, type LabelsToWrite, type OpenedImage, READING, type ReadOptions } from "../image_format.ts";
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
import { inverseOrientation, reorientedOrder, reorientedSize } from "./nibabel_geometry.ts";
import { interpretAsItk, type ItkImage } from "./sitk_geometry.ts";
import { orientationOfDirection, turnBetween, turnedGeometry } from "./sitk_orientation.ts";
import type { VoxelConversion } from "./voxels.ts";
import { type StoredVolume, writeNifti } from "./write.ts";
import { sitkHeader } from "./written_header.ts";

type SitkReader = Extract<ReaderName, "SimpleITKIO" | "SimpleITKIOWithReorient">;

export const SITK_NIFTI: ImageFormat = sitkFormat("SimpleITKIO");
export const SITK_REORIENTED_NIFTI: ImageFormat = sitkFormat("SimpleITKIOWithReorient");

/** Where the axes of an array point to that was turned. */
const TURNED_TO = "RAS";

function sitkFormat(reader: SitkReader): ImageFormat {
  return {
    name: "NIfTI",
    endings: NIFTI_ENDINGS,
    channelsPerFile: reader === "SimpleITKIO" ? "as stored" : "one",
    labelsAdvice: "a 3-D image",
    filesOf: filesOfNifti,
    open: async (file, options) => await openNifti(file, (nifti) => interpret(nifti, reader, options)),
    write: async (file, segmentation) => await writeNifti(file, segmentation, storedVolume(reader, segmentation)),
  };
}

function interpret(nifti: OpenedNifti, reader: SitkReader, options: ReadOptions): OpenedImage {
  const { file, header } = nifti;
  const itk = interpretAsItk(header, file);
  if ("problem" in itk) throw new UserError({ doing: READING, file, problem: itk.problem, remedy: itk.remedy });
  const { size, channels, dataStart } = itk;
  if (reader === "SimpleITKIOWithReorient") require3d(itk, file);
  checkSize(nifti, dataStart, size, channels);
  const conversion: VoxelConversion = {
    datatype: header.datatype,
    littleEndian: header.littleEndian,
    arithmetic: "itk",
    scaling: itk.scaling,
    zeroNonFinite: options.nonFinite === "asUpstream",
  };
  const { geometry, origin, strides } = arrayOf(itk, reader);
  return {
    file,
    channels,
    geometry,
    storedType: storedType(nifti),
    bufferBytes: BUFFER_BYTES,
    warnings: [...itk.warnings, ...complexWarning(nifti), ...misnamedWarning(nifti)],
    read: async (data, offset) => {
      const volumeStride = size[0] * size[1] * size[2];
      return await readVoxels(nifti, dataStart, size, channels, conversion, {
        data,
        offset: offset + origin,
        strides,
        volumeStride,
      });
    },
    [Symbol.asyncDispose]: () => nifti[Symbol.asyncDispose](),
  };
}

/** DICOMOrient takes no others. */
function require3d({ dimensions, channels }: ItkImage, file: string): void {
  if (dimensions === 3 && channels === 1) return;
  throw new UserError({
    doing: READING,
    file,
    problem: `it is ${dimensions === 2 ? "2-D" : "4-D"}, and SimpleITKIOWithReorient turns 3-D images only`,
    remedy: dimensions === 2
      ? "save it as a 3-D image with one slice"
      : "save each channel as a file of its own, CASE_0000, CASE_0001, ...",
  });
}

/** The array that a file becomes: its geometry, and where in it the file's first voxel and its neighbours along x, y, z go. */
function arrayOf(
  { dimensions, size, geometry: stored }: ItkImage,
  reader: SitkReader,
): { readonly geometry: ImageGeometry; readonly origin: number; readonly strides: Vec3 } {
  if (reader === "SimpleITKIO") {
    const [sx, sy] = stored.spacing;
    // A slice has no thickness; upstream gives it one that keeps resampling and tiling in the plane.
    const thickness = dimensions === 2 ? 999 * Math.max(sx, sy) : stored.spacing[2];
    return {
      geometry: { reader, spacing: [thickness, sy, sx], shape: [size[2], size[1], size[0]], sitk: stored },
      origin: 0,
      strides: [1, size[0], size[0] * size[1]],
    };
  }
  const originalOrientation = orientationOfDirection(stored.direction);
  const turn = turnBetween(originalOrientation, TURNED_TO);
  const sitk = { ...turnedGeometry(stored, size, turn), originalOrientation };
  const [nx, ny, nz] = reorientedSize([size[0], size[1], size[2]], turn);
  const [sx, sy, sz] = sitk.spacing;
  return {
    geometry: { reader, spacing: [sz, sy, sx], shape: [nz, ny, nx], sitk },
    ...reorientedOrder(size, [nx, ny, nz], turn),
  };
}

function storedVolume(reader: SitkReader, { labels, geometry: { sitk }, bytesPerLabel }: LabelsToWrite): StoredVolume {
  if (!sitk) throw new TypeError(`${reader}'s geometry is missing`);
  const size: Vec3 = [labels.shape[2], labels.shape[1], labels.shape[0]];
  const { originalOrientation } = sitk;
  if (originalOrientation === undefined) {
    const header = sitkHeader(size.slice(0, sitk.spacing.length), sitk, bytesPerLabel);
    return { header, size, origin: 0, strides: [1, size[0], size[0] * size[1]] };
  }
  // As upstream: from where the array points to, which for oblique images need not be RAS again.
  const turn = turnBetween(orientationOfDirection(sitk.direction), originalOrientation);
  const written = reorientedSize([size[0], size[1], size[2]], turn);
  const header = sitkHeader(written, turnedGeometry(sitk, size, turn), bytesPerLabel);
  return { header, size: written, ...reorientedOrder(written, size, inverseOrientation(turn)) };
}

function misnamedWarning({ imageFile, source }: OpenedNifti): string[] {
  return source.misnamed ? [`${imageFile}: it is not gzip-compressed, though its name ends in .gz.`] : [];
}
