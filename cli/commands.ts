/**
 * All commands by name, and what runs them. Only names and summaries are here: flags and code are loaded when a command is
 * called, so that `nnunet --help` starts nothing else.
 */
import type { FlagTable } from "./flag.ts";

/** A command's flags and what it does with the arguments behind its name; `run` gives the exit code. */
export interface Command {
  readonly flags: FlagTable;
  /** Paragraphs under the summary in the help. */
  readonly details?: readonly string[];
  /** True: called by upstream's name, it leaves out flags it does not know as upstream does, with a warning. */
  readonly upstreamIgnoresUnknown?: true;
  /** `shownName` is how the user called it, for messages and the help. */
  run(args: readonly string[], shownName: string): Promise<number>;
}

export interface CommandEntry {
  /** After `nnunet`. */
  readonly name: string;
  /** Python nnU-Net's script of the same purpose. */
  readonly upstream?: string;
  readonly summary: string;
  /** Absent: this version does not have it. */
  readonly load?: () => Promise<Command>;
}

/** In the order of the help. Upstream's scripts: pyproject.toml of 2.5.1, [project.scripts]. */
export const COMMANDS: readonly CommandEntry[] = [
  {
    name: "predict",
    upstream: "nnUNetv2_predict",
    summary: "Segment images with a trained model",
    load: async () => (await import("./predict_command.ts")).predict,
  },
  {
    name: "predict_from_modelfolder",
    upstream: "nnUNetv2_predict_from_modelfolder",
    summary: "Segment images with the model in a given folder",
    load: async () => (await import("./predict_command.ts")).predictFromModelfolder,
  },
  {
    name: "plan_and_preprocess",
    upstream: "nnUNetv2_plan_and_preprocess",
    summary: "Fingerprint, plan and preprocess datasets",
    load: async () => (await import("./plan_and_preprocess_command.ts")).planAndPreprocessCommand,
  },
  {
    name: "extract_fingerprint",
    upstream: "nnUNetv2_extract_fingerprint",
    summary: "Collect a dataset's statistics, and check its files",
    load: async () => (await import("./extract_fingerprint_command.ts")).extractFingerprintCommand,
  },
  {
    name: "plan_experiment",
    upstream: "nnUNetv2_plan_experiment",
    summary: "Choose networks and patch sizes for a dataset",
    load: async () => (await import("./plan_experiment_command.ts")).planExperimentCommand,
  },
  {
    name: "preprocess",
    upstream: "nnUNetv2_preprocess",
    summary: "Crop, normalise and resample a dataset",
    load: async () => (await import("./preprocess_command.ts")).preprocessCommand,
  },
  {
    name: "train",
    upstream: "nnUNetv2_train",
    summary: "Train a model",
    load: async () => (await import("./train_command.ts")).trainCommand,
  },
  {
    name: "move_plans_between_datasets",
    upstream: "nnUNetv2_move_plans_between_datasets",
    summary: "Use one dataset's plans for another",
    load: async () => (await import("./move_plans_command.ts")).movePlansCommand,
  },
  {
    name: "evaluate_folder",
    upstream: "nnUNetv2_evaluate_folder",
    summary: "Compare segmentations with the truth",
    load: async () => (await import("./evaluate_command.ts")).evaluateFolderCommand,
  },
  {
    name: "evaluate_simple",
    upstream: "nnUNetv2_evaluate_simple",
    summary: "Compare segmentations with the truth, without dataset.json",
    load: async () => (await import("./evaluate_command.ts")).evaluateSimpleCommand,
  },
  {
    name: "export",
    summary: "Write a trained network as safetensors",
    load: async () => (await import("./export_command.ts")).exportCommand,
  },
  {
    name: "convert_MSD_dataset",
    upstream: "nnUNetv2_convert_MSD_dataset",
    summary: "Convert a dataset of the Medical Segmentation Decathlon",
    load: async () => (await import("./convert_msd_command.ts")).convertMsdCommand,
  },
  {
    name: "convert_old_nnUNet_dataset",
    upstream: "nnUNetv2_convert_old_nnUNet_dataset",
    summary: "Convert a dataset of nnU-Net v1",
    load: async () => (await import("./convert_v1_command.ts")).convertV1Command,
  },
  {
    name: "doctor",
    summary: "Say what this machine offers, which engine would be used and what is missing",
    load: async () => (await import("./doctor.ts")).doctor,
  },
  {
    name: "link",
    summary: "Make commands under Python nnU-Net's names (nnUNetv2_predict, ...) in a folder",
    load: async () => (await import("./link.ts")).link,
  },
  {
    name: "version",
    summary: "Print the version",
    load: async () => (await import("./version.ts")).version,
  },
  ...([
    ["find_best_configuration", "Choose the best model or ensemble by cross-validation"],
    ["determine_postprocessing", "Find out which postprocessing helps"],
    ["apply_postprocessing", "Apply a postprocessing that was found"],
    ["ensemble", "Average the probabilities of several models"],
    ["accumulate_crossval_results", "Collect the validation results of all folds"],
    ["export_model_to_zip", "Pack a trained model"],
    ["install_pretrained_model_from_zip", "Unpack a trained model"],
    ["download_pretrained_model_by_url", "Download and unpack a trained model"],
    ["plot_overlay_pngs", "Draw segmentations over images"],
  ] as const).map(([name, summary]) => ({ name, upstream: `nnUNetv2_${name}`, summary })),
];

/** The command of this name, `nnunet`'s or Python nnU-Net's. */
export function findCommand(name: string): CommandEntry | undefined {
  return COMMANDS.find((entry) => entry.name === name || entry.upstream === name);
}
