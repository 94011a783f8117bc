/** The flags of plot_overlay_pngs, as upstream has them (nnunetv2/utilities/overlay_plots.py), then ours. */
import type { FlagTable } from "./flag.ts";
import { CASE_THREADS, DATASET, LOG, MAX_MEMORY, NAME } from "./forms.ts";

const DATA = "Data";
const PICTURES = "Pictures";

export const PLOT_OVERLAYS = {
  dataset: {
    kind: "text",
    names: ["-d"],
    value: "ID",
    form: DATASET,
    required: true,
    group: DATA,
    help: "The dataset by number (4) or name (Dataset004_Hippocampus).",
  },
  output: {
    kind: "text",
    names: ["-o"],
    value: "FOLDER",
    required: true,
    group: PICTURES,
    help: "Folder of the pictures, CASE.png; made where it is not there.",
  },
  threads: {
    ...CASE_THREADS,
    help: "Threads that read and draw cases. Default: the variable nnUNet_def_n_proc, or all cores.",
  },
  channel: {
    kind: "integer",
    names: ["-channel_idx"],
    value: "CHANNEL",
    range: { min: 0, max: 9999 },
    default: 0,
    group: PICTURES,
    help: "The image's channel that is drawn, 0 being the first.",
  },
  useRaw: {
    kind: "switch",
    names: ["--use_raw"],
    group: DATA,
    help: "Draw the images and segmentations of nnUNet_raw. Without it: the preprocessed ones.",
  },
  plansName: {
    kind: "text",
    names: ["-p"],
    value: "NAME",
    form: NAME,
    default: "nnUNetPlans",
    group: DATA,
    help: "Plans that the cases are preprocessed by.",
  },
  configuration: {
    kind: "text",
    names: ["-c"],
    value: "CONFIG",
    form: NAME,
    group: DATA,
    help: "Configuration whose preprocessed cases are drawn. Default: 3d_fullres where the plans have it, else 2d.",
  },
  intensity: {
    kind: "number",
    names: ["-overlay_intensity"],
    value: "SHARE",
    range: { min: 0, max: 1000 },
    default: 0.6,
    group: PICTURES,
    help: "Share of a label's colour that is added to the grey: the higher, the brighter and less transparent.",
  },
  log: LOG,
  maxMemory: {
    ...MAX_MEMORY,
    help:
      "Memory that the run may take, as 4G or 512M. Default: half of what is free for cases being drawn at the same time.",
  },
} as const satisfies FlagTable;
