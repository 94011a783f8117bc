/** Kinds of DICOM objects that are no images to segment. */
import type { DicomDataset } from "./dataset.ts";

/** What lists the files of a medium. */
export const DIRECTORY = "a directory (DICOMDIR)";

/** Kinds of objects that hold pixels of something else than an image, or none, by SOP class. */
const OTHER_KINDS: readonly (readonly [prefix: string, what: string])[] = [
  ["1.2.840.10008.1.3.10", DIRECTORY],
  ["1.2.840.10008.5.1.4.1.1.66.4", "a segmentation"],
  ["1.2.840.10008.5.1.4.1.1.66.5", "a surface segmentation"],
  ["1.2.840.10008.5.1.4.1.1.66", "raw data, a registration or fiducials"],
  ["1.2.840.10008.5.1.4.1.1.11", "a presentation state"],
  ["1.2.840.10008.5.1.4.1.1.88", "a structured report"],
  ["1.2.840.10008.5.1.4.1.1.104", "an enclosed document"],
  ["1.2.840.10008.5.1.4.1.1.9", "a waveform"],
  ["1.2.840.10008.5.1.4.1.1.481.2", "a radiotherapy dose"],
  ["1.2.840.10008.5.1.4.1.1.481.3", "a radiotherapy structure set"],
  ["1.2.840.10008.5.1.4.1.1.481.5", "a radiotherapy plan"],
  ["1.2.840.10008.5.1.4.1.1.481.8", "a radiotherapy plan"],
  ["1.2.840.10008.5.1.4.1.1.30", "a parametric map"],
  ["1.2.840.10008.5.1.4.1.1.77.1.6", "a whole slide image"],
  ["1.3.12.2.1107.5.9.1", "raw data (Siemens CSA)"],
];

/** What an object is by its SOP class; undefined for images, and for classes that are not known. */
export function otherKind(sopClass: string): string | undefined {
  return OTHER_KINDS.find(([prefix]) => sopClass === prefix || sopClass.startsWith(`${prefix}.`))?.[1];
}

export function sopClassOf(dataset: DicomDataset): string {
  return dataset.text("SOPClassUID") ?? dataset.text("MediaStorageSOPClassUID") ?? "";
}
