/** The files that a case's segmentation is written to, where these are not the model's own format: volumes and DICOM objects. */
import { allocationError } from "../../base/allocation.ts";
import { UserError } from "../../base/errors.ts";
import type { Labels } from "../../dataset/dataset_json.ts";
import { LABEL_COLOURS, labelColour } from "../../evaluate/overlay.ts";
import { labelsOnSource } from "../../formats/dicom/labels_on_source.ts";
import { writeStructureSet } from "../../formats/dicom/rtstruct_object.ts";
import { codesOf, UNKNOWN_CODES } from "../../formats/dicom/seg_codes.ts";
import type { OwnSegment, Rgb } from "../../formats/dicom/seg_codes_file.ts";
import { writeDicomSegmentation } from "../../formats/dicom/seg_object.ts";
import { parseSeriesPath } from "../../formats/dicom/series.ts";
import type { SourceImages } from "../../formats/dicom/source_images.ts";
import { sourceOfFrames } from "../../formats/dicom/source_of_slices.ts";
import type { Maker, Segment } from "../../formats/dicom/write_segment.ts";
import { openSeries } from "../../formats/image/dicom/format.ts";
import type { ImageGeometry, LabelVolume } from "../../formats/image/image.ts";
import { writeVolume } from "../../formats/image/write_image.ts";
import { type CaseOutput, refersToSource } from "./output_formats.ts";

/** What DICOM objects say beside the labels. */
export interface ObjectDetails {
  /** Of all labels that a segmentation may hold. */
  readonly segments: readonly Segment[];
  readonly maker: Maker;
}

export interface SegmentationOfCase {
  readonly labels: LabelVolume;
  readonly geometry: ImageGeometry;
  /** Needed for DICOM objects. */
  readonly source?: SourceImages;
  readonly details?: ObjectDetails;
  readonly signal?: AbortSignal;
}

/** Writes one file of a case, whole or not at all. */
async function writeOutput({ format, file }: CaseOutput, of: SegmentationOfCase): Promise<void> {
  const { labels, geometry, source, details, signal } = of;
  if (!refersToSource(format)) return await writeVolume(file, labels, geometry, signal);
  if (!source || !details) throw new TypeError(`${file}: no source or details for a DICOM object`);
  const write = format === "dicom-seg" ? writeDicomSegmentation : writeStructureSet;
  await write(file, { labels: labelsOnSource(labels, geometry, source), source, ...details, signal });
}

/**
 * Writes all files of a case, `main` last: where it is, all of the case is.
 * @returns the files that were written
 * @throws UserError if one can't be written; Interrupted if the signal aborts
 */
export async function writeOutputs(
  outputs: readonly CaseOutput[],
  main: string,
  of: SegmentationOfCase,
): Promise<string[]> {
  const others = outputs.filter(({ file }) => file !== main);
  const inOrder = [...others, ...outputs.filter(({ file }) => file === main)];
  for (const output of inOrder) await writeOutput(output, of);
  return inOrder.map(({ file }) => file);
}

/** True where the first of a case's files is a DICOM series, which objects can refer to. */
export function isSeries(files: readonly string[]): boolean {
  return files.length > 0 && parseSeriesPath(files[0]) !== null;
}

/**
 * What the objects of a case take from its first channel's series.
 * @throws UserError if it is none, or does not say what has to be known
 */
export async function sourceOfCase(files: readonly string[]): Promise<SourceImages> {
  if (!isSeries(files)) throw noSource(files[0]);
  try {
    return await sourceOfFrames((await openSeries(files[0])).slices);
  } catch (error) {
    throw allocationError(error, { doing: "reading what the segmentation refers to" });
  }
}

/** Of images that are no DICOM series. */
export function noSource(file: string | undefined): UserError {
  return new UserError({
    doing: "choosing the output format",
    ...(file !== undefined && { file }),
    problem:
      "dicom-seg and rtstruct refer to the DICOM images that a segmentation was made from, and the images are no DICOM",
    remedy: "name the folder of the DICOM series with -i, or choose --output-format nifti, nrrd or mha",
  });
}

/**
 * The labels of a dataset as segments, in ascending order.
 * @param dataset The dataset's name, which may say the organ
 * @param own The user's codes and colours, by name
 */
export function segmentsOf(
  labels: Labels,
  dataset: string,
  own: ReadonlyMap<string, OwnSegment> = new Map(),
): Segment[] {
  return labels.foregroundLabels.map((label) => {
    const { name, told } = nameOf(label, labels);
    const ours = own.get(name) ?? own.get(told);
    return {
      label,
      name: told,
      colour: ours?.colour ?? segmentColour(label),
      codes: ours?.codes ?? codesOf(name, dataset) ?? UNKNOWN_CODES,
    };
  });
}

/** Names of classes whose meaning is not known, of which a run warns. */
export function uncoded({ segments }: ObjectDetails): string[] {
  return segments.filter(({ codes }) => codes === UNKNOWN_CODES).map(({ name }) => name);
}

/** A label's name; of regions the one whose voxels get the label, less those that later ones take from it. */
function nameOf(label: number, { names, regions, regionsClassOrder }: Labels): { name: string; told: string } {
  const name = names.get(label);
  if (name !== undefined) return { name, told: name };
  const at = regionsClassOrder.indexOf(label);
  if (at < 0) return { name: `label ${label}`, told: `label ${label}` };
  const region = regions[at];
  const later = regions.slice(at + 1).filter(({ labels }) => labels.some((one) => region.labels.includes(one)));
  const less = later.map((one) => one.name).join(", ");
  return { name: region.name, told: less === "" ? region.name : `${region.name} without ${less}` };
}

/** Turns of hue from label to label by which neighbours differ most. */
const GOLDEN = (Math.sqrt(5) - 1) / 2;

/** A colour for each label, red, green and blue: those of pictures, then hues far apart in three degrees of brightness. */
function segmentColour(label: number): Rgb {
  if (label <= LABEL_COLOURS) return labelColour(label);
  const hue = (label * GOLDEN) % 1;
  const lightness = [0.55, 0.42, 0.68][label % 3];
  const chroma = 0.7 * (1 - Math.abs(2 * lightness - 1));
  const level = (shift: number) => {
    const turn = Math.abs(((hue + shift) % 1) * 6 - 3) - 1;
    return Math.round(255 * (lightness + chroma * (Math.min(1, Math.max(0, turn)) - 0.5)));
  };
  return [level(0), level(2 / 3), level(1 / 3)];
}
