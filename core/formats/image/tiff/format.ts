/**
 * TIFF as nnU-Net's classes take it: Tiff3DIO (tifffile) volumes of three axes, with voxel sizes from a JSON file beside;
 * NaturalImage2DIO (skimage 0.26 on tifffile) pictures, grey or with 3 or 4 colours. Values are those stored: no palette, no
 * orientation, and black or white as 0. Sources: nnunetv2/imageio/tif_reader_writer.py, natural_image_reader_writer.py.
 */
import { UserError } from "../../../base/errors.ts";
import type { Vec3 } from "../../../base/shape.ts";
import { type ImageFormat, type OpenedImage, READING, type ReadOptions } from "../image_format.ts";
import { pictureGeometry } from "../picture.ts";
import { readTiffHeader } from "./directories.ts";
import { plainBytes } from "./page.ts";
import { product, type Series } from "./planes.ts";
import { TiffDamage, TiffRefusal } from "./problem.ts";
import { mostBytes, type PageReader, pageReader } from "./read_page.ts";
import { convertSamples } from "./samples.ts";
import { readSeries } from "./series.ts";
import { openSource } from "./source.ts";
import { readSpacing, spacingFileOfLabels, spacingFiles } from "./spacing_file.ts";
import { writePicture, writeVolume } from "./write.ts";

/** Volumes. */
export const TIFF_VOLUME: ImageFormat = {
  name: "TIFF",
  endings: [".tif", ".tiff"],
  channelsPerFile: "one",
  labelsAdvice: "a stack of grey slices",
  filesOf: (file) => [file, ...spacingFiles(file)],
  besideLabels: spacingFileOfLabels,
  open: (file, options) => openTiff(file, options, volumeLayout),
  write: writeVolume,
};

/** Pictures. */
export const TIFF_PICTURE: ImageFormat = {
  name: "TIFF",
  endings: [".tif", ".tiff"],
  channelsPerFile: "colours",
  labelsAdvice: "a grey picture whose values are the labels",
  filesOf: (file) => [file],
  open: (file, options) => openTiff(file, options, pictureLayout),
  write: writePicture,
};

/** How the array of a file becomes channels and a grid. */
interface ArrayLayout {
  readonly reader: "Tiff3DIO" | "NaturalImage2DIO";
  readonly channels: number;
  readonly shape: Vec3;
  readonly spacing: Vec3;
  /** The channels of a voxel follow each other in the file. */
  readonly interleaved: boolean;
  readonly warnings: readonly string[];
}

type LayoutOf = (file: string, series: Series, options: ReadOptions) => Promise<ArrayLayout> | ArrayLayout;

async function openTiff(file: string, options: ReadOptions, layoutOf: LayoutOf): Promise<OpenedImage> {
  const source = await openSource(file);
  try {
    const tiff = await readTiffHeader(source);
    const series = await readSeries(tiff);
    const [{ page }] = series.pages;
    const layout = await layoutOf(file, series, options);
    const reader = pageReader(tiff, page);
    const claimed = series.pages.length * plainBytes(page);
    if (claimed > mostBytes(tiff, page)) {
      throw new TiffDamage(
        `${source.size.toLocaleString("en-US")} bytes can't hold ${series.shape.join(" x ")} samples`,
        "cut short",
      );
    }
    const { channels, shape, spacing } = layout;
    return {
      file,
      channels,
      geometry: { reader: layout.reader, spacing, shape },
      storedType: page.type === "bool" ? "uint8" : page.type,
      bufferBytes: reader.bufferBytes * (layout.interleaved ? 3 : 1),
      warnings: [...series.warnings.map((warning) => `${file}: ${warning}.`), ...layout.warnings],
      read: async (data, offset) => {
        try {
          await readInto({ data, offset, layout }, series, reader);
        } catch (error) {
          throw tiffError(error, file);
        }
        return [];
      },
      [Symbol.asyncDispose]: () => Promise.resolve(source[Symbol.dispose]()),
    };
  } catch (error) {
    source[Symbol.dispose]();
    throw tiffError(error, file);
  }
}

interface Target {
  readonly data: Float32Array;
  readonly offset: number;
  readonly layout: ArrayLayout;
}

async function readInto({ data, offset, layout }: Target, series: Series, reader: PageReader): Promise<void> {
  const { channels, interleaved } = layout;
  const perPage = product(series.shape) / series.pages.length;
  const voxels = product(layout.shape);
  let scratch = new Float32Array(0);
  for (const [i, { page, dataAt }] of series.pages.entries()) {
    const pageStart = i * perPage;
    await reader.read(page, dataAt, (samples, count, littleEndian, start) => {
      const first = pageStart + start;
      if (!interleaved) {
        convertSamples(samples, count, page.type, littleEndian, data, offset + first);
        return;
      }
      if (scratch.length < count) scratch = new Float32Array(count);
      convertSamples(samples, count, page.type, littleEndian, scratch, 0);
      let channel = first % channels;
      let voxel = (first - channel) / channels;
      for (let k = 0; k < count; k++) {
        data[offset + channel * voxels + voxel] = scratch[k];
        if (++channel === channels) {
          channel = 0;
          voxel++;
        }
      }
    });
  }
}

async function volumeLayout(
  file: string,
  { shape, pages: [{ page }] }: Series,
  options: ReadOptions,
): Promise<ArrayLayout> {
  if (shape.length !== 3) {
    throw new TiffRefusal(
      `it has ${shape.length} axes (${shape.join(" x ")}), and Tiff3DIO takes volumes of 3`,
      shape.length === 2
        ? "save 2-D images as PNG, or name NaturalImage2DIO as overwrite_image_reader_writer in dataset.json"
        : "save one channel, of one time, a file",
    );
  }
  const [z, y, x] = shape;
  const { spacing, warnings } = await readSpacing(file, options.labels === true);
  const colours = page.samples > 1
    ? [
      `${file}: its pixels have ${page.samples} samples, which became an axis of the volume (${z} x ${y} x ${x}), as in Python.`,
    ]
    : [];
  return {
    reader: "Tiff3DIO",
    channels: 1,
    shape: [z, y, x],
    spacing,
    interleaved: false,
    warnings: [...warnings, ...colours],
  };
}

/** Of a stack of 3 or 4 the slices are the colours, as skimage has it. */
function pictureLayout(_file: string, { shape }: Series): ArrayLayout {
  const isColours = (size: number) => size === 3 || size === 4;
  const warnings: readonly string[] = [];
  if (shape.length === 2) {
    return { ...pictureGeometry(shape[0], shape[1]), channels: 1, interleaved: false, warnings };
  }
  if (shape.length === 3 && isColours(shape[2])) {
    return { ...pictureGeometry(shape[0], shape[1]), channels: shape[2], interleaved: true, warnings };
  }
  if (shape.length === 3 && isColours(shape[0])) {
    return { ...pictureGeometry(shape[1], shape[2]), channels: shape[0], interleaved: false, warnings };
  }
  throw new TiffRefusal(
    `it is no picture, which has 2 axes or a third of 3 or 4 colours, but ${shape.join(" x ")}`,
    "for volumes name Tiff3DIO as overwrite_image_reader_writer in dataset.json",
  );
}

/** Damage and refusals in the user's terms. */
function tiffError(error: unknown, file: string): unknown {
  if (error instanceof TiffRefusal) {
    return new UserError({ doing: READING, file, problem: error.message, remedy: error.remedy }, { cause: error });
  }
  if (!(error instanceof TiffDamage)) return error;
  const remedy = "copy or export the image again";
  return new UserError({ doing: READING, file, problem: error.problem("TIFF"), remedy }, { cause: error });
}
