/** The flags of `view`. */
import type { FlagTable } from "./flag.ts";
import { LOG, MAX_MEMORY, SERIES_UID } from "./forms.ts";

const DATA = "Data";
const OUTPUT = "Output";

export const VIEW = {
  image: {
    kind: "text",
    names: ["image"],
    value: "IMAGE",
    required: true,
    group: DATA,
    help: "The image, or a folder of DICOM files, or one of them. Of several channels in a file the first is shown.",
  },
  series: {
    kind: "text",
    names: ["--series"],
    value: "UID",
    form: SERIES_UID,
    group: DATA,
    help:
      "Which series to take of a DICOM folder that holds several, by Series Instance UID; without it they are listed.",
  },
  segmentations: {
    kind: "list",
    names: ["segmentations"],
    value: "SEGMENTATION",
    required: true,
    group: DATA,
    help: "Segmentations on the image's grid; the page has a choice of them, and of two where they differ.",
  },
  datasetFile: {
    kind: "text",
    names: ["-djfile"],
    value: "FILE",
    group: DATA,
    help:
      "The dataset.json with the names of the labels. Default: the one beside the first segmentation, if there is one.",
  },
  output: {
    kind: "text",
    names: ["-o"],
    value: "FILE",
    required: true,
    group: OUTPUT,
    help: "The page, which ends in .html. It holds the image: who has the file can see it.",
  },
  log: LOG,
  maxMemory: { ...MAX_MEMORY, help: "Memory that the run may take, as 4G or 512M. Default: what is free." },
} as const satisfies FlagTable;
