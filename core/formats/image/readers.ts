/**
 * The registry of formats: nnU-Net's reader and writer classes in the order in which upstream tries them, each with the formats that
 * it takes. Source: nnunetv2/imageio/reader_writer_registry.py.
 */
import { UserError } from "../../base/errors.ts";
import type { ReaderName } from "./image.ts";
import { type ImageFormat, READING } from "./image_format.ts";
import { parseSeriesPath } from "../dicom/series.ts";
import { BMP } from "./bmp/format.ts";
import { dicomFormat } from "./dicom/format.ts";
import { NIBABEL_NIFTI, REORIENTED_NIFTI } from "./nifti/nibabel_format.ts";
import { SITK_NIFTI, SITK_REORIENTED_NIFTI } from "./nifti/sitk_format.ts";
import { SITK_GIPL, SITK_REORIENTED_GIPL } from "./gipl/format.ts";
import { SITK_META, SITK_REORIENTED_META } from "./meta/format.ts";
import { SITK_NRRD, SITK_REORIENTED_NRRD } from "./nrrd/format.ts";
import { PNG } from "./png/format.ts";
import { TIFF_PICTURE, TIFF_VOLUME } from "./tiff/format.ts";

export interface ReaderClass {
  readonly name: ReaderName;
  /** The endings that upstream gives the class, in lower case. */
  readonly upstreamEndings: readonly string[];
  /** What reads them, and further endings that are read here. */
  readonly formats: readonly ImageFormat[];
  /** The format that takes files of any other name: the library behind the class looks into a file, not at its name. */
  readonly anyName?: ImageFormat;
  /** What takes DICOM series, which names of their own stand for. */
  readonly series?: ImageFormat;
  /**
   * What its images say of their place: `sitk` and `nibabel` fill the fields of {@link ImageGeometry} with these names; `spacing` has
   * voxel sizes only; a `picture` has none of its own, and upstream's constant (999, 1, 1), of Python's integers.
   */
  readonly geometry: "sitk" | "nibabel" | "spacing" | "picture";
  /** True: never tried, only taken where dataset.json or the plans name it. */
  readonly onlyByName?: true;
}

export const READERS: readonly ReaderClass[] = [
  {
    name: "NaturalImage2DIO",
    upstreamEndings: [".png", ".bmp", ".tif"],
    formats: [PNG, BMP, TIFF_PICTURE],
    geometry: "picture",
  },
  {
    name: "SimpleITKIO",
    upstreamEndings: [".nii.gz", ".nrrd", ".mha", ".gipl"],
    formats: [SITK_NIFTI, SITK_NRRD, SITK_META, SITK_GIPL],
    anyName: SITK_NIFTI,
    series: dicomFormat("SimpleITKIO"),
    geometry: "sitk",
  },
  { name: "Tiff3DIO", upstreamEndings: [".tif", ".tiff"], formats: [TIFF_VOLUME], geometry: "spacing" },
  {
    name: "NibabelIO",
    upstreamEndings: [".nii", ".nii.gz"],
    formats: [NIBABEL_NIFTI],
    anyName: NIBABEL_NIFTI,
    series: dicomFormat("NibabelIO"),
    geometry: "nibabel",
  },
  {
    name: "NibabelIOWithReorient",
    upstreamEndings: [".nii", ".nii.gz"],
    formats: [REORIENTED_NIFTI],
    anyName: REORIENTED_NIFTI,
    series: dicomFormat("NibabelIOWithReorient"),
    geometry: "nibabel",
  },
  {
    // Of 2.6.3 and later.
    name: "SimpleITKIOWithReorient",
    upstreamEndings: [".nii.gz", ".nrrd", ".mha", ".gipl"],
    formats: [SITK_REORIENTED_NIFTI, SITK_REORIENTED_NRRD, SITK_REORIENTED_META, SITK_REORIENTED_GIPL],
    anyName: SITK_REORIENTED_NIFTI,
    series: dicomFormat("SimpleITKIOWithReorient"),
    geometry: "sitk",
    onlyByName: true,
  },
];

/** Names of the reader classes, those of volumes first, as most have them. */
export const READER_NAMES: readonly ReaderName[] = READERS
  .toSorted((a, b) => Number(a.geometry === "picture") - Number(b.geometry === "picture"))
  .map(({ name }) => name);

/** True for the name of a reader class. */
export function isReader(name: unknown): name is ReaderName {
  return (READER_NAMES as readonly unknown[]).includes(name);
}

export function readerClass(reader: ReaderName): ReaderClass {
  const found = READERS.find(({ name }) => name === reader);
  if (!found) throw new RangeError(`there is no reader class ${reader}`);
  return found;
}

/** File endings that `reader` can read here, in lower case; the first is the usual one. */
export function fileEndings(reader: ReaderName): readonly string[] {
  return readerClass(reader).formats.flatMap(({ endings }) => endings);
}

/** Endings of images that can be read. */
export function supportedEndings(): readonly string[] {
  return [...new Set(READER_NAMES.flatMap(fileEndings))];
}

/** True for a class that takes DICOM series. */
export function takesSeries(reader: ReaderName): boolean {
  return readerClass(reader).series !== undefined;
}

/** The format in which `reader` reads or writes `file`. @throws UserError if it has none for this name */
export function formatOf(reader: ReaderName, file: string): ImageFormat {
  const { formats, anyName, series } = readerClass(reader);
  if (series && parseSeriesPath(file)) return series;
  const format = formats.find((one) => hasEnding(file, one)) ?? anyName;
  if (format) return format;
  const names = formats.map(({ name }) => name).join(", ");
  const problem = `of ${reader}'s formats only ${names} is read here`;
  const what = readerClass(reader).geometry === "picture" ? "pictures" : "images";
  throw new UserError({ doing: READING, file, problem, remedy: `convert the ${what} to ${names}` });
}

/** What images are, for people: "NRRD"; of several formats all names. */
export function formatNames(reader: ReaderName, files: Iterable<string>): string {
  const names = new Set<string>();
  for (const file of files) names.add(formatOf(reader, file).name);
  return [...names].join(", ");
}

/** All files that belong to the image that `file` names, for any reader. */
export async function filesOfImage(file: string): Promise<readonly string[]> {
  const formats = READERS.flatMap((
    { formats, anyName },
  ) => [...formats.filter((one) => hasEnding(file, one)), anyName]);
  const files = await Promise.all([...new Set(formats)].map((format) => format?.filesOf(file) ?? []));
  return [...new Set([file, ...files.flat()])];
}

function hasEnding(file: string, { endings }: ImageFormat): boolean {
  const name = file.toLowerCase();
  return endings.some((ending) => name.endsWith(ending));
}

/** Endings of files that people take for images, beside those of the reader classes. */
const OTHER_ENDINGS = [
  ...[
    ".hdr",
    ".hdr.gz",
    ".img",
    ".img.gz",
    ".nhdr",
    ".mhd",
    ".gipl.gz",
    ".dcm",
    ".jpg",
    ".jpeg",
    ".ome.tif",
    ".ome.tiff",
  ],
  ...[".npz", ".npy", ".b2nd"],
];
const KNOWN_ENDINGS = [...READERS.flatMap(({ upstreamEndings }) => upstreamEndings), ...OTHER_ENDINGS]
  .toSorted((a, b) => b.length - a.length);

/** The ending of a file name that looks like an image's, as it is written there, read here or not; the longest that fits. */
export function imageEnding(name: string): string | undefined {
  const lower = name.toLowerCase();
  const ending = KNOWN_ENDINGS.find((one) => lower.endsWith(one));
  return ending && name.slice(-ending.length);
}
