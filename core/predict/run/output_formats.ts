/** The formats in which a segmentation may be written whatever the model's images are, and the names of their files. */
import type { ReaderName } from "../../formats/image/image.ts";
import { fileEndings } from "../../formats/image/readers.ts";

export const OUTPUT_FORMATS = ["nifti", "nrrd", "mha", "dicom-seg", "rtstruct"] as const;
export type OutputFormat = typeof OUTPUT_FORMATS[number];

/** What follows a case's id in the names of its files. */
export const OUTPUT_ENDINGS: Readonly<Record<OutputFormat, string>> = {
  nifti: ".nii.gz",
  nrrd: ".nrrd",
  mha: ".mha",
  "dicom-seg": "_seg.dcm",
  rtstruct: "_rtstruct.dcm",
};

export interface CaseOutput {
  readonly format: OutputFormat;
  readonly file: string;
}

/** True for DICOM objects, which refer to the images that they were made from. */
export function refersToSource(format: OutputFormat): boolean {
  return format === "dicom-seg" || format === "rtstruct";
}

/** The file by which later steps take the segmentation: the first that the model's reader reads, else the first. */
export function mainOutput(outputs: readonly CaseOutput[], reader: ReaderName): CaseOutput {
  const endings = fileEndings(reader);
  return outputs.find(({ format }) => endings.includes(OUTPUT_ENDINGS[format])) ?? outputs[0];
}
