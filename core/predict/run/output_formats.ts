/** The formats in which a segmentation may be written whatever the model's images are, and the names of their files. */

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
