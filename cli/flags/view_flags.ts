/** The flags of `view`. */
import type { FlagTable } from "./flag.ts";
import { LOG, MAX_MEMORY } from "./forms.ts";

const DATA = "Data";
const OUTPUT = "Output";

export const VIEW = {
  image: {
    kind: "text",
    names: ["image"],
    value: "IMAGE",
    required: true,
    group: DATA,
    help: "The image, or a folder that holds one DICOM series. Of several channels in a file the first is shown.",
  },
  segmentations: {
    kind: "list",
    names: ["segmentations"],
    value: "SEGMENTATION",
    required: true,
    group: DATA,
    help: "Segmentations on the image's grid; the page has a choice of them.",
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
