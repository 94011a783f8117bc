/** What a frame of a DICOM image says of itself: its place, its numbers, whom it belongs to. Plain data, a kilobyte a frame at most. */
import type { DicomDataset, DicomFile, PixelPlace } from "./dataset.ts";
import { DIRECTORY, otherKind, sopClassOf } from "./kinds.ts";

/** Where a frame lies in the patient: LPS, in mm. */
export interface SlicePlace {
  /** Middle of the first pixel; undefined where the frame does not say it. */
  readonly position?: readonly [number, number, number];
  /** Unit vectors along a row (x) and along a column (y), normal to each other. */
  readonly orientation?: SliceOrientation;
  /** From column to column (x) and from row to row (y). */
  readonly spacing?: readonly [number, number];
  /** Spacing Between Slices, where it is said. */
  readonly between?: number;
}

export interface SliceOrientation {
  readonly row: Vector;
  readonly column: Vector;
  readonly normal: Vector;
}

export type Vector = readonly [number, number, number];

/** How stored pixels are read and what values they stand for. */
export interface PixelFormat {
  readonly rows: number;
  readonly columns: number;
  readonly bitsAllocated: number;
  readonly bitsStored: number;
  readonly highBit: number;
  readonly signed: boolean;
  /** MONOCHROME1: low values are bright. */
  readonly inverted: boolean;
  readonly samples: number;
  readonly photometric: string;
}

/** From stored values to those of the modality: by a slope and an intercept, or a table. */
export interface Rescale {
  readonly slope: number;
  readonly intercept: number;
  readonly table?: ModalityTable;
}

export interface ModalityTable {
  /** The stored value of its first entry; values before and behind the table get its first and last entry. */
  readonly first: number;
  readonly values: readonly number[];
}

/** One frame of one file. */
export interface Slice {
  readonly file: string;
  readonly fileBytes: number;
  readonly transferSyntax: string;
  readonly bigEndian: boolean;
  /** Where everything from here on is one deflated stream. */
  readonly deflatedFrom?: number;
  /** Where the pixels of all frames of the file lie. */
  readonly pixels: PixelPlace;
  /** From 0 on, and how many the file has. */
  readonly frame: number;
  readonly frames: number;
  readonly format: PixelFormat;
  readonly place: SlicePlace;
  readonly rescale: Rescale;
  readonly sopClass: string;
  readonly sopInstance: string;
  readonly instanceNumber: string;
  readonly localiser: boolean;
  /** What tells the phases, echoes and reconstructions of a series apart: name and value of each such attribute that is there. */
  readonly marks: Readonly<Record<string, string>>;
}

/** A file that holds no image: what it is. */
export interface NoImage {
  readonly file: string;
  readonly what: string;
  /** Of an image that is not whole: the series that it belongs to, and what is wrong. */
  readonly incomplete?: { readonly series: string; readonly problem: string };
}

/** Bytes of the header of a piece of packed pixels. */
const ITEM_BYTES = 8;

/** Frames of a file, in the order in which they are stored; or why it is no image. */
export function slicesOf(file: DicomFile): readonly Slice[] | NoImage {
  const { dataset, pixels } = file;
  const what = otherKind(sopClassOf(dataset));
  if (what !== undefined) return { file: file.file, what };
  if (!pixels) return withoutPixels(file);
  const format = pixelFormat(dataset);
  const frames = dataset.number("NumberOfFrames") ?? 1;
  if (!Number.isInteger(frames) || frames < 1 || frames > mostFrames(file, pixels, format)) {
    const problem = `it says that it has ${dataset.text("NumberOfFrames")} frames, which its pixels are not`;
    return notWhole(file, "an image with another number of frames than it says", problem);
  }
  const [shared] = dataset.items("SharedFunctionalGroupsSequence");
  const perFrame = dataset.items("PerFrameFunctionalGroupsSequence");
  const common = {
    file: file.file,
    fileBytes: file.fileBytes,
    transferSyntax: file.transferSyntax,
    bigEndian: file.bigEndian,
    ...(file.deflatedFrom !== undefined && { deflatedFrom: file.deflatedFrom }),
    pixels,
    frames,
    format,
    sopClass: dataset.text("SOPClassUID") ?? "",
    sopInstance: dataset.text("SOPInstanceUID") ?? "",
    instanceNumber: dataset.text("InstanceNumber") ?? "",
    localiser: dataset.texts("ImageType").includes("LOCALIZER"),
    marks: marksOf(dataset),
  };
  return Array.from({ length: frames }, (_, frame) => {
    const groups = [perFrame[frame], shared, dataset].filter((one) => one !== undefined);
    return { ...common, frame, place: placeOf(groups), rescale: rescaleOf(groups) };
  });
}

function withoutPixels(file: DicomFile): NoImage {
  const { dataset } = file;
  if (dataset.has("DirectoryRecordSequence")) return { file: file.file, what: DIRECTORY };
  if (dataset.has("FloatPixelData") || dataset.has("DoubleFloatPixelData")) {
    return { file: file.file, what: "an image of floats" };
  }
  if (dataset.has("Rows") && dataset.has("Columns")) {
    return notWhole(file, "an image whose Pixel Data are missing", "its Pixel Data are missing");
  }
  const modality = dataset.text("Modality");
  return {
    file: file.file,
    what: `an object without an image${modality === undefined ? "" : ` (modality ${modality})`}`,
  };
}

function notWhole({ file, dataset }: DicomFile, what: string, problem: string): NoImage {
  return { file, what, incomplete: { series: dataset.text("SeriesInstanceUID") ?? "", problem } };
}

/** As many frames as the pixels can be: no memory is taken for more. */
function mostFrames({ fileBytes }: DicomFile, { length }: PixelPlace, format: PixelFormat): number {
  const each = format.rows * format.columns * format.bitsAllocated / 8;
  return Math.max(1, Math.floor(length === undefined ? fileBytes / ITEM_BYTES : length / Math.max(1, each)));
}

function pixelFormat(dataset: DicomDataset): PixelFormat {
  const bitsAllocated = dataset.number("BitsAllocated") ?? 0;
  const bitsStored = dataset.number("BitsStored") ?? bitsAllocated;
  const photometric = dataset.text("PhotometricInterpretation") ?? "";
  return {
    rows: dataset.number("Rows") ?? 0,
    columns: dataset.number("Columns") ?? 0,
    bitsAllocated,
    bitsStored,
    highBit: dataset.number("HighBit") ?? bitsStored - 1,
    signed: dataset.number("PixelRepresentation") === 1,
    inverted: photometric === "MONOCHROME1",
    samples: dataset.number("SamplesPerPixel") ?? 1,
    photometric,
  };
}

/** @param groups A frame's functional groups, those of all frames, and the object itself: the first that says something holds */
function placeOf(groups: readonly DicomDataset[]): SlicePlace {
  const position = first(groups, (one) => numbersOf(one, "PlanePositionSequence", "ImagePositionPatient", 3));
  const cosines = first(groups, (one) => numbersOf(one, "PlaneOrientationSequence", "ImageOrientationPatient", 6));
  const spacing = first(groups, (one) => numbersOf(one, "PixelMeasuresSequence", "PixelSpacing", 2));
  const between = first(groups, (one) => numbersOf(one, "PixelMeasuresSequence", "SpacingBetweenSlices", 1));
  const orientation = cosines && orientationOf(cosines);
  return {
    ...(position && { position: [position[0], position[1], position[2]] }),
    ...(orientation && { orientation }),
    ...(spacing && spacing.every((one) => one > 0) && { spacing: [spacing[1], spacing[0]] }),
    ...(between && between[0] !== 0 && { between: Math.abs(between[0]) }),
  };
}

function numbersOf(
  group: DicomDataset,
  sequence: "PlanePositionSequence" | "PlaneOrientationSequence" | "PixelMeasuresSequence",
  keyword: "ImagePositionPatient" | "ImageOrientationPatient" | "PixelSpacing" | "SpacingBetweenSlices",
  count: number,
): readonly number[] | undefined {
  const holder = group.items(sequence).at(0) ?? group;
  const numbers = holder.numbers(keyword);
  return numbers.length === count && numbers.every(Number.isFinite) ? numbers : undefined;
}

function first<T>(groups: readonly DicomDataset[], find: (group: DicomDataset) => T | undefined): T | undefined {
  for (const group of groups) {
    const found = find(group);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** How far cosines may be from unit length and a right angle: as far as GDCM takes them. */
const COSINE_TOLERANCE = 1e-3;

/** As ITK makes them orthonormal: the column stays, the row becomes normal to it. Undefined for what are no directions. */
function orientationOf(cosines: readonly number[]): SliceOrientation | undefined {
  const row: Vector = [cosines[0], cosines[1], cosines[2]];
  const column: Vector = [cosines[3], cosines[4], cosines[5]];
  const off = [length(row) - 1, length(column) - 1, dot(row, column)];
  if (off.some((one) => !(Math.abs(one) < COSINE_TOLERANCE))) return undefined;
  const down = unit(column);
  const normal = unit(cross(row, down));
  return { row: cross(down, normal), column: down, normal };
}

export const dot = (a: Vector, b: Vector): number => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
export const length = (a: Vector): number => Math.hypot(a[0], a[1], a[2]);

export function cross(a: Vector, b: Vector): Vector {
  return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
}

function unit(a: Vector): Vector {
  const size = length(a);
  return [a[0] / size, a[1] / size, a[2] / size];
}

function rescaleOf(groups: readonly DicomDataset[]): Rescale {
  for (const group of groups) {
    const holder = group.items("PixelValueTransformationSequence").at(0) ?? group;
    const [table] = group.items("ModalityLUTSequence");
    const values = table && modalityTable(table);
    if (values) return { slope: 1, intercept: 0, table: values };
    if (!holder.has("RescaleSlope") && !holder.has("RescaleIntercept")) continue;
    const slope = holder.number("RescaleSlope") ?? 1;
    // As GDCM: a slope of 0 would make everything one value, and stands for none.
    return { slope: slope === 0 ? 1 : slope, intercept: holder.number("RescaleIntercept") ?? 0 };
  }
  return { slope: 1, intercept: 0 };
}

/** A Modality LUT of C.11.1; undefined for one that is damaged. */
function modalityTable(item: DicomDataset): ModalityTable | undefined {
  const [entries, first, bits] = item.numbers("LUTDescriptor");
  const count = entries === 0 ? 65536 : entries;
  const words = item.numbers("LUTData");
  const bytes = item.bytes("LUTData");
  const values = words.length === count ? words : bytes.length === count && bits <= 8 ? [...bytes] : undefined;
  return values && Number.isFinite(first) ? { first, values } : undefined;
}

const MARKS = [
  "AcquisitionNumber",
  "EchoTime",
  "TemporalPositionIdentifier",
  "AcquisitionTime",
  "ImageType",
  "ContrastBolusAgent",
  "ConvolutionKernel",
] as const;

function marksOf(dataset: DicomDataset): Readonly<Record<string, string>> {
  return Object.fromEntries(MARKS.flatMap((keyword) => {
    const text = dataset.texts(keyword).join("\\");
    return text === "" ? [] : [[keyword, text]];
  }));
}
