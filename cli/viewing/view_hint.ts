/** The line by which a command says how to look at what it has made. */
import { parseSeriesPath } from "../../core/formats/dicom/series.ts";

export interface Shown {
  readonly id: string;
  /** The case's first channel, a DICOM series included. */
  readonly image: string;
  readonly segmentations: readonly string[];
  /** Where the names of the classes are, if not beside the first segmentation. */
  readonly datasetFile?: string;
}

/** "look at liver_1: nnunet view ct.nii.gz liver_1.nii.gz -o liver_1.html", quoted as a shell takes it. */
export function viewHint({ id, image, segmentations, datasetFile }: Shown): string {
  const series = parseSeriesPath(image);
  const words = [
    series?.folder ?? image,
    ...segmentations,
    ...(series ? ["--series", series.uid] : []),
    ...(datasetFile === undefined ? [] : ["-djfile", datasetFile]),
    "-o",
    `${id}.html`,
  ];
  return `look at ${id}: nnunet view ${words.map(quoted).join(" ")}`;
}

function quoted(word: string): string {
  return /^[\w./:+-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
