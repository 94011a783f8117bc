/**
 * Reads a case's images, and label volumes, as nnU-Net's reader classes do: the arrays and geometry are those of SimpleITK 2.5.7,
 * nibabel 5.4 and skimage 0.26 behind nnU-Net 2.5.1. Damaged files, and headers that upstream reads as something else than they say,
 * are refused; tests/golden/headers/cases.ts lists them with the reasons.
 */
import { describeBytes } from "../../base/describe_bytes.ts";
import { UserError } from "../../base/errors.ts";
import type { Vec3 } from "../../base/shape.ts";
import type { CaseImage, ImageGeometry, LabelVolume, ReaderName } from "./image.ts";
import { checkSameGrid } from "./image_grid.ts";
import { openPicture, type Picture, putPicture } from "./natural_image.ts";
import { columnLengths } from "./nifti_matrix.ts";
import { checkExtensions, checkSize, type OpenedNifti, openNifti, READING, readVoxels } from "./nifti_file.ts";
import type { VoxelConversion } from "./nifti_voxels.ts";
import {
  interpretAsNibabel,
  isRas,
  linearPart,
  orientationOf,
  reorientedAffine,
  reorientedSize,
} from "./nibabel_geometry.ts";
import { interpretAsItk } from "./sitk_geometry.ts";

export { checkSameGrid, compareGrids, imageGridCorners } from "./image_grid.ts";

/** What may be chosen when reading. */
export interface ReadOptions {
  /**
   * NaN and infinite voxels. `keep` (default) leaves them, for the preprocessing to refuse or replace; `asUpstream` does what the
   * reader does: SimpleITKIO makes them 0 before the scaling, the nibabel readers keep them.
   */
  readonly nonFinite?: "keep" | "asUpstream";
}

/** File endings that `reader` can read here, in lower case; the first is the usual one. */
export function fileEndings(reader: ReaderName): readonly string[] {
  return reader === "NaturalImage2DIO" ? [".png"] : [".nii.gz", ".nii"];
}

/** An image whose header is read and whose voxels are not. */
interface PendingImage extends AsyncDisposable {
  readonly file: string;
  readonly channels: number;
  readonly geometry: ImageGeometry;
  readonly warnings: readonly string[];
  /** Puts all channels into `target` from `offset` on; returns further warnings. */
  put(target: Float32Array, offset: number): Promise<readonly string[]>;
}

/**
 * Reads a case. Channels of several files follow each other in file order; an RGB picture is three channels of one file, a 4-D NIfTI
 * (SimpleITKIO) as many as it has volumes. The geometry is the first file's.
 *
 * @throws UserError naming the file: damaged, not the kind of image the reader takes, or of another shape or place than the first.
 */
export async function readCase(
  reader: ReaderName,
  files: readonly string[],
  options: ReadOptions = {},
): Promise<CaseImage> {
  if (files.length === 0) throw new RangeError("a case needs at least one file");
  await using stack = new AsyncDisposableStack();
  const images: PendingImage[] = [];
  const warnings: string[] = [];
  for (const file of files) {
    const image = stack.use(await openImage(reader, file, options));
    images.push(image);
    warnings.push(...image.warnings);
    const first = images[0];
    if (image === first) continue;
    if (image.channels !== first.channels) {
      throw new UserError({
        doing: READING,
        file,
        problem:
          `it has ${image.channels} channels, and ${first.file} has ${first.channels}; they have to have the same number`,
        remedy: "save one channel per file",
      });
    }
    const warning = checkSameGrid(first, image, READING);
    if (warning) warnings.push(warning);
  }
  const { geometry } = images[0];
  const voxels = geometry.shape[0] * geometry.shape[1] * geometry.shape[2];
  const channels = images.reduce((sum, image) => sum + image.channels, 0);
  const data = allocate(channels * voxels, images[0].file);
  let channel = 0;
  for (const image of images) {
    warnings.push(...await image.put(data, channel * voxels));
    channel += image.channels;
  }
  return { data, channels, geometry, warnings };
}

/**
 * Reads a segmentation: one channel of whole numbers.
 *
 * @throws UserError naming the file: as {@link readCase}, several channels, or values that are no labels (fractions, NaN, or beyond
 * -32768..32767).
 */
export async function readLabels(
  reader: ReaderName,
  file: string,
): Promise<{ readonly labels: LabelVolume & { readonly data: Int16Array }; readonly geometry: ImageGeometry }> {
  const { data, channels, geometry } = await readCase(reader, [file]);
  const doing = "reading the segmentation";
  if (channels !== 1) {
    const problem = `it has ${channels} channels, and a segmentation has one`;
    const remedy = file.toLowerCase().endsWith(".png")
      ? "save it as a grey picture whose values are the labels (not as RGB or with a palette)"
      : "save it as a 3-D image";
    throw new UserError({ doing, file, problem, remedy });
  }
  const labels = new Int16Array(data.length);
  for (let i = 0; i < data.length; i++) {
    labels[i] = data[i];
    if (labels[i] !== data[i]) {
      const problem = `voxel ${i} has the value ${data[i]}, which is not a whole number in -32768..32767`;
      throw new UserError({
        doing,
        file,
        problem,
        remedy: "labels are whole numbers: check that this is the right file",
      });
    }
  }
  return { labels: { data: labels, shape: geometry.shape }, geometry };
}

function allocate(length: number, file: string): Float32Array {
  try {
    return new Float32Array(length);
  } catch (error) {
    const problem = `its ${length.toLocaleString("en-US")} voxels need ${
      describeBytes(length * 4)
    } as float32, which could not be allocated`;
    const remedy = "use a machine with more memory, or cut the image into parts";
    throw new UserError({ doing: READING, file, problem, remedy }, { cause: error });
  }
}

async function openImage(reader: ReaderName, file: string, options: ReadOptions): Promise<PendingImage> {
  if (reader === "NaturalImage2DIO") return pictureImage(await openPicture(file));
  const nifti = await openNifti(file);
  try {
    if (reader === "SimpleITKIO") return itkImage(nifti, options);
    return await nibabelImage(nifti, reader);
  } catch (error) {
    await nifti[Symbol.asyncDispose]();
    throw error;
  }
}

function pictureImage(picture: Picture): PendingImage {
  const shape: Vec3 = [1, picture.image.height, picture.image.width];
  return {
    file: picture.file,
    channels: picture.channels,
    geometry: { reader: "NaturalImage2DIO", spacing: [999, 1, 1], shape },
    warnings: [],
    put: (target, offset) => {
      putPicture(picture, target, offset);
      return Promise.resolve([]);
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

function itkImage(nifti: OpenedNifti, options: ReadOptions): PendingImage {
  const { file, header } = nifti;
  const itk = interpretAsItk(header, file);
  if ("problem" in itk) throw new UserError({ doing: READING, file, ...itk });
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
    warnings: [...itk.warnings, ...complexWarning(nifti), ...misnamedWarning(nifti)],
    put: (data, offset) => {
      const strides: Vec3 = [1, size[0], size[0] * size[1]];
      const volumeStride = size[0] * size[1] * size[2];
      return readVoxels(nifti, dataStart, size, channels, conversion, { data, offset, strides, volumeStride });
    },
    [Symbol.asyncDispose]: () => nifti[Symbol.asyncDispose](),
  };
}

async function nibabelImage(
  opened: OpenedNifti,
  reader: "NibabelIO" | "NibabelIOWithReorient",
): Promise<PendingImage> {
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
  if ("problem" in image) throw new UserError({ doing: READING, file, ...image });
  const { size, dataStart, affine, zooms } = image;
  checkSize(opened, dataStart, size, 1);
  const nifti = await checkExtensions(opened, dataStart);
  const conversion: VoxelConversion = {
    datatype: header.datatype,
    littleEndian: header.littleEndian,
    arithmetic: "nibabel",
    scaling: image.scaling,
    zeroNonFinite: false,
  };
  const orientation = orientationOf(affine);
  const asStored = reader === "NibabelIO" || isRas(orientation);
  const outSize = asStored ? size : reorientedSize(size, orientation);
  const outAffine = asStored ? affine : reorientedAffine(affine, size, orientation);
  const outZooms = asStored ? zooms : storedPrecision(columnLengths(linearPart(outAffine)), header.version);
  const steps = [1, outSize[0], outSize[0] * outSize[1]];
  const strides: [number, number, number] = [steps[0], steps[1], steps[2]];
  let origin = 0;
  if (!asStored) {
    for (let i = 0; i < 3; i++) {
      const step = steps[orientation.axis[i]];
      strides[i] = orientation.flip[i] ? -step : step;
      if (orientation.flip[i]) origin += step * (size[i] - 1);
    }
  }
  return {
    file,
    channels: 1,
    geometry: {
      reader,
      spacing: [outZooms[2], outZooms[1], outZooms[0]],
      shape: [outSize[2], outSize[1], outSize[0]],
      nibabel: reader === "NibabelIO"
        ? { originalAffine: affine }
        : { originalAffine: affine, reorientedAffine: outAffine },
    },
    warnings: complexWarning(nifti),
    put: (data, offset) =>
      readVoxels(nifti, dataStart, size, 1, conversion, {
        data,
        offset: offset + origin,
        strides,
        volumeStride: data.length,
      }),
    [Symbol.asyncDispose]: () => nifti[Symbol.asyncDispose](),
  };
}

/** Zooms as the header of a reoriented image holds them: float32, but for NIfTI-2. */
function storedPrecision(zooms: readonly [number, number, number], version: number): [number, number, number] {
  return version === 2 ? [...zooms] : [Math.fround(zooms[0]), Math.fround(zooms[1]), Math.fround(zooms[2])];
}

function complexWarning({ file, header }: OpenedNifti): string[] {
  const complex = header.datatype === 32 || header.datatype === 1792;
  return complex ? [`${file}: its voxels are complex numbers; the imaginary parts are ignored, as upstream does.`] : [];
}

function misnamedWarning({ imageFile, source }: OpenedNifti): string[] {
  return source.misnamed ? [`${imageFile}: it is not gzip-compressed, though its name ends in .gz.`] : [];
}
