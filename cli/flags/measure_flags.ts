/** The flags of `measure`; predict has --statistics and --mesh from here. */
import type { FlagTable } from "./flag.ts";
import { CASE_THREADS, LOG, MAX_MEMORY } from "./forms.ts";

const DATA = "Segmentations";
const OUTPUT = "Output";

/** What is written of segmentations, whoever made them. */
export const MEASURING = {
  statistics: {
    kind: "text",
    names: ["--statistics"],
    value: "FILE",
    beyond: true,
    group: OUTPUT,
    help:
      "Write what the segmentations hold, by case and by class and region: voxels, ml, mean, median and deviation of each channel, box " +
      "and centroid in mm (LPS). FILE.json and FILE.csv are what they end in; a FILE without such an ending becomes both.",
  },
  mesh: {
    kind: "choice",
    names: ["--mesh"],
    value: "FORM",
    choices: ["stl", "obj"],
    beyond: true,
    group: OUTPUT,
    help:
      "Write the surface of each class in mm (LPS), closed: CASE_meshes/CLASS.stl beside the segmentations, or .obj.",
  },
} as const satisfies FlagTable;

export const MEASURE = {
  segmentations: {
    kind: "text",
    names: ["segmentations"],
    value: "PATH",
    required: true,
    group: DATA,
    help: "Folder of the segmentations, CASE.ENDING, or one of them.",
  },
  datasetFile: {
    kind: "text",
    names: ["-djfile"],
    value: "FILE",
    requiredUnless: "-l",
    group: DATA,
    help: "The dataset.json with labels, regions and the file ending; predict leaves it beside its segmentations.",
  },
  labels: {
    kind: "integers",
    names: ["-l"],
    value: "LABEL",
    range: { min: 1, max: 2 ** 31 - 1 },
    group: DATA,
    help: "Instead of a dataset.json: the labels to measure, integers.",
  },
  images: {
    kind: "text",
    names: ["-i"],
    value: "FOLDER",
    group: DATA,
    help:
      "Folder of the images, CASE_0000.ENDING (0001 the second channel, ...), CASE.ENDING, or a folder of DICOM files for each case. " +
      "Without it no intensities are measured.",
  },
  ...MEASURING,
  output: {
    kind: "text",
    names: ["-o"],
    value: "FOLDER",
    group: OUTPUT,
    help: "Folder for the CASE_meshes of --mesh; made if it is not there. Default: the folder of the segmentations.",
  },
  threads: {
    ...CASE_THREADS,
    help: "Threads that measure cases. Default: the variable nnUNet_def_n_proc, or all cores.",
  },
  maxMemory: {
    ...MAX_MEMORY,
    help:
      "Memory that the run may take, as 4G or 512M. Default: half of what is free for cases being measured at once.",
  },
  log: LOG,
} as const satisfies FlagTable;
