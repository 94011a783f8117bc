/** The flags of `verify`: what is compared with what, the limits, and those of a prediction. */
import type { FlagTable } from "./flag.ts";
import { PREDICTION } from "./predict_flags.ts";

// A verification is one run that writes its own report.
const {
  parts: _parts,
  part: _part,
  saveProbabilities: _saveProbabilities,
  share: _share,
  report: _report,
  statistics: _statistics,
  mesh: _mesh,
  outputFormats: _outputFormats,
  segmentCodes: _segmentCodes,
  ...PREDICTING
} = PREDICTION;

const COMPARISON = "Comparison";

export const VERIFY = {
  modelFolder: {
    kind: "text",
    names: ["model"],
    value: "MODEL",
    required: true,
    group: COMPARISON,
    help: "The model's folder, with plans.json, dataset.json and fold_X.",
  },
  images: {
    kind: "text",
    names: ["images"],
    value: "IMAGES",
    required: true,
    group: COMPARISON,
    help: "Folder with images named CASE_0000.ENDING, as predict takes it.",
  },
  against: {
    kind: "text",
    names: ["--against"],
    value: "FOLDER",
    required: true,
    group: COMPARISON,
    help:
      "The segmentations CASE.ENDING that the Python nnU-Net (or any other program) has made of these images with this model.",
  },
  output: {
    kind: "text",
    names: ["-o"],
    value: "FOLDER",
    required: true,
    group: COMPARISON,
    help:
      "Folder for verification.json, verification.html, prediction.json and the folder segmentations; made if it is not there.",
  },
  minDice: {
    kind: "number",
    names: ["--min-dice", "--min_dice"],
    value: "DICE",
    range: { min: 0, max: 1 },
    group: COMPARISON,
    help: "Exit code 1 if the Dice of a class of a case is below DICE, from 0 to 1.",
  },
  maxVoxels: {
    kind: "integer",
    names: ["--max-voxels", "--max_voxels"],
    value: "N",
    range: { min: 0, max: Number.MAX_SAFE_INTEGER },
    group: COMPARISON,
    help: "Exit code 1 if more than N voxels of a case differ; 0 allows none.",
  },
  chill: {
    kind: "switch",
    names: ["--chill"],
    group: COMPARISON,
    help:
      "Compare what is in both folders; without it an image without a segmentation to compare with, or one without its image, is refused.",
  },
  ...PREDICTING,
} as const satisfies FlagTable;
