/**
 * The flags of `predict` and `predict_from_modelfolder`: upstream's with upstream's defaults (nnunetv2/inference/
 * predict_from_raw_data.py), then those that Python's nnU-Net does not have.
 */
import { OUTPUT_FORMATS } from "../../core/predict/run/output_formats.ts";
import { ENGINE, MACHINE } from "./engine_flags.ts";
import { MEASURING } from "./measure_flags.ts";
import type { FlagTable, Values } from "./flag.ts";
import { DATASET, FOLD, JSON_FILE, LOG, MAX_MEMORY, NAME, SERIES_UID, THREADS } from "./forms.ts";

const MODEL = "Model";
const FILES = "Images";
const HOW = "Prediction";
const OUTPUT = "Output";

/** Flags of both commands; the images first in the help, then the model. */
const IMAGES = {
  input: {
    kind: "text",
    names: ["-i"],
    value: "PATH",
    required: true,
    group: FILES,
    help:
      "Folder with images named CASE_0000.ENDING (0001 the second channel, ...). Also taken: one image, or the images of " +
      "one case in channel order, a.nii.gz,b.nii.gz; DICOM: the folder of one study, or a folder with a folder for each " +
      "case (CASE_0000, CASE_0001, ... where there are several channels), whatever ending the model's images have.",
  },
  series: {
    kind: "list",
    names: ["--series"],
    value: "UID",
    form: SERIES_UID,
    beyond: true,
    group: FILES,
    help:
      "Which series to take of a DICOM folder that holds several, by Series Instance UID; without it they are listed. For " +
      "a study of a model with several channels, one for each channel in their order.",
  },
  output: {
    kind: "text",
    names: ["-o"],
    value: "PATH",
    required: true,
    group: FILES,
    help:
      "Folder for the segmentations, CASE.ENDING; made if it is not there. Also taken: one file, x.nii.gz, when the " +
      "input is one case.",
  },
} as const satisfies FlagTable;

/** How a prediction is made, whatever the model and the images are named by. */
export const PREDICTION = {
  folds: {
    kind: "list",
    names: ["-f"],
    value: "FOLD",
    form: FOLD,
    default: ["0", "1", "2", "3", "4"],
    group: MODEL,
    help: "Folds whose networks are averaged: numbers, or `all` for the network trained on everything.",
  },
  checkpoint: {
    kind: "text",
    names: ["-chk"],
    value: "FILE",
    form: NAME,
    default: "checkpoint_final.pth",
    group: MODEL,
    help: "Name of the checkpoint in each fold's folder.",
  },
  assumePlansNetwork: {
    kind: "switch",
    names: ["--assume_plans_network"],
    beyond: true,
    group: MODEL,
    help:
      "Take the network of plans.json for a trainer whose name is not known. Such a trainer may have changed more than " +
      "the checkpoint's shapes can show.",
  },
  stepSize: {
    kind: "number",
    names: ["-step_size"],
    value: "SHARE",
    range: { min: 0.001, max: 1 },
    default: 0.5,
    group: HOW,
    help: "Step from tile to tile as a share of the patch, from 0.001 to 1. Larger is faster and less accurate.",
  },
  disableTta: {
    kind: "switch",
    names: ["--disable_tta"],
    group: HOW,
    help: "No averaging over mirrored images: up to 8 times faster in 3D, less accurate.",
  },
  previousStage: {
    kind: "text",
    names: ["-prev_stage_predictions"],
    value: "FOLDER",
    group: HOW,
    help: "Segmentations of the previous stage, CASE.ENDING; a cascade's second stage needs them.",
  },
  nonFinite: {
    kind: "choice",
    names: ["--nan"],
    value: "BY",
    choices: ["zero", "min"],
    beyond: true,
    group: HOW,
    help:
      "Replace NaN and infinite voxels by 0 or by the channel's smallest finite value. Without it such images are " +
      "refused.",
  },
  parts: {
    kind: "integer",
    names: ["-num_parts"],
    value: "N",
    range: { min: 1, max: 1_000_000 },
    group: HOW,
    help:
      "Number of runs that share the cases. Default: as many as the SLURM array or the Kubernetes indexed job has that " +
      "this is run in (JOB_COMPLETIONS says the latter's number); else 1.",
  },
  part: {
    kind: "integer",
    names: ["-part_id"],
    value: "K",
    range: { min: 0, max: 999_999 },
    group: HOW,
    help:
      "Which share this run takes, 0 to N-1: cases K, K+N, K+2N, ... Default: its index in the array or indexed job; else 0.",
  },
  device: ENGINE.device,
  gpuChoice: ENGINE.gpuChoice,
  allowCpu: {
    kind: "switch",
    names: ["--allow_cpu"],
    beyond: true,
    group: MACHINE,
    help: "Use the CPU where the GPU that -device asks for cannot be used, or fails on the way.",
  },
  allowSoftwareGpu: ENGINE.allowSoftwareGpu,
  precision: {
    kind: "choice",
    names: ["--precision"],
    value: "PRECISION",
    choices: ["auto", "f32", "f16"],
    default: "auto",
    beyond: true,
    group: MACHINE,
    help:
      "How a GPU keeps activations. f16 takes half the memory and rounds to 3 digits; arithmetic is f32 in both. auto: f16 if " +
      "99.95 % of the first tile's labels are those of f32 (tried once for a model on a GPU), else f32. A CPU computes in f32.",
  },
  threads: ENGINE.threads,
  maxMemory: {
    ...MAX_MEMORY,
    help:
      "Most memory to use, like 4G or 512M. What does not fit is kept in a scratch file. Results do not depend on it.",
  },
  deterministic: {
    kind: "switch",
    names: ["--deterministic"],
    beyond: true,
    group: MACHINE,
    help:
      "Bit-equal results from run to run, whatever was measured on the machine. On a GPU: --precision auto means f32, and " +
      "kernels are not the tuned ones, which costs time. The CPU engine always gives them.",
  },
  npp: {
    kind: "integer",
    names: ["-npp"],
    value: "N",
    range: { min: 0, max: THREADS.max },
    group: MACHINE,
    help:
      "Python's preprocessing processes. Here one case is prepared while the network works on the one before; 0 turns " +
      "that off, other numbers change nothing. Default: the variable nnUNet_npp, or 3.",
  },
  notOnDevice: {
    kind: "switch",
    names: ["--not_on_device"],
    beyond: true,
    group: MACHINE,
    help:
      "Of later nnU-Nets, which then sum up outside the GPU. Accepted, changes nothing: here the sums of a few planes are held at a " +
      "time and not the volume's, and a case that does not fit is done in smaller pieces.",
  },
  nps: {
    kind: "integer",
    names: ["-nps"],
    value: "N",
    range: { min: 0, max: THREADS.max },
    group: MACHINE,
    help: "Python's export processes. Accepted, changes nothing. Default: the variable nnUNet_nps, or 3.",
  },
  saveProbabilities: {
    kind: "switch",
    names: ["--save_probabilities"],
    group: OUTPUT,
    help: "Also write CASE.npz (class probabilities) and CASE.pkl, as ensembling needs them.",
  },
  outputFormats: {
    kind: "list",
    names: ["--output-format"],
    value: "FORMAT",
    choices: OUTPUT_FORMATS,
    beyond: true,
    group: OUTPUT,
    help:
      "Formats to write each segmentation in: nifti, nrrd, mha; dicom-seg (CASE_seg.dcm) and rtstruct (CASE_rtstruct.dcm) for " +
      "images that are DICOM series, to whose patient, study and slices they refer. Default: the format of the model's images.",
  },
  segmentCodes: {
    kind: "text",
    names: ["--segment-codes"],
    form: JSON_FILE,
    value: "FILE",
    beyond: true,
    group: OUTPUT,
    help:
      'Coded terms and colours of classes in DICOM files, beside those that are known: {"NAME": {"type": {"scheme": "SCT", ' +
      '"code": "10200004", "meaning": "Liver"}, "colour": [200, 100, 50]}}; also category, modifier, region, regionModifier.',
  },
  continuePrediction: {
    kind: "switch",
    names: ["--continue_prediction"],
    group: OUTPUT,
    help: "Leave out cases whose segmentation is there already.",
  },
  share: {
    kind: "switch",
    names: ["--share"],
    beyond: true,
    group: OUTPUT,
    help:
      "Share the cases with all runs of the same command on this folder, whenever and wherever they are started: each case " +
      "is done by one of them, cases that are there are left out, and those of a run that was killed are done by another.",
  },
  report: {
    kind: "text",
    names: ["--report"],
    form: JSON_FILE,
    value: "FILE",
    beyond: true,
    group: OUTPUT,
    help:
      "Write a JSON report: checksums of program, model, inputs and outputs, engine, timings, volumes per class, and " +
      "the cases that failed and why.",
  },
  ...MEASURING,
  log: LOG,
  quiet: {
    kind: "switch",
    names: ["--quiet"],
    beyond: true,
    group: OUTPUT,
    help: "Print warnings and errors only.",
  },
  verbose: {
    kind: "switch",
    names: ["--verbose"],
    group: OUTPUT,
    help: "Print more: memory forecasts, timings, unused environment variables, stacks of errors.",
  },
  disableProgressBar: {
    kind: "switch",
    names: ["--disable_progress_bar"],
    group: OUTPUT,
    help: "No redrawn bar; one line a case.",
  },
} as const satisfies FlagTable;

/** `predict`: the model by dataset, trainer, plans and configuration. */
export const PREDICT = {
  ...IMAGES,
  dataset: {
    kind: "text",
    names: ["-d"],
    value: "DATASET",
    form: DATASET,
    required: true,
    group: MODEL,
    help: "Dataset the model was trained on, by name (Dataset004_Hippocampus) or id (4).",
  },
  configuration: {
    kind: "text",
    names: ["-c"],
    value: "CONFIG",
    form: NAME,
    requiredUnless: "--best",
    group: MODEL,
    help: "Configuration: 2d, 3d_fullres, 3d_lowres, 3d_cascade_fullres, or another one of the plans.",
  },
  best: {
    kind: "switch",
    names: ["--best"],
    beyond: true,
    group: MODEL,
    help:
      "Do what find_best_configuration chose: its configurations and folds, a cascade's first stage, the ensemble and the " +
      "postprocessing. Without -c, -tr, -p and -f.",
  },
  plans: {
    kind: "text",
    names: ["-p"],
    value: "PLANS",
    form: NAME,
    default: "nnUNetPlans",
    group: MODEL,
    help: "Plans the model was trained with.",
  },
  trainer: {
    kind: "text",
    names: ["-tr"],
    value: "TRAINER",
    form: NAME,
    default: "nnUNetTrainer",
    group: MODEL,
    help: "Trainer the model was trained with.",
  },
  ...PREDICTION,
} as const satisfies FlagTable;

/** `predict_from_modelfolder`: the model by its folder. */
export const PREDICT_FROM_MODELFOLDER = {
  ...IMAGES,
  modelFolder: {
    kind: "text",
    names: ["-m"],
    value: "FOLDER",
    required: true,
    group: MODEL,
    help: "The model's folder, with plans.json, dataset.json and fold_X.",
  },
  ...PREDICTION,
  /** Upstream declares the short form for this command only. */
  continuePrediction: { ...PREDICTION.continuePrediction, names: ["--continue_prediction", "--c"] },
  /** Upstream's has no parts. */
  parts: { ...PREDICTION.parts, beyond: true },
  part: { ...PREDICTION.part, beyond: true },
} as const satisfies FlagTable;

/** What both commands have, parsed. */
export type PredictValues = Values<typeof IMAGES & typeof PREDICTION>;
