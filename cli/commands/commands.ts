/**
 * All commands by name, upstream's and ours. Help, starters (`link`) and the names that are understood come from this table; what runs
 * a command is loaded when it is called, so that `nnunet --help` starts nothing else.
 */
import type { Command } from "./command.ts";

export interface CommandEntry {
  /** After `nnunet`. */
  readonly name: string;
  /** Python nnU-Net's script of the same purpose. */
  readonly upstream?: string;
  /** A line for the help, without a full stop. */
  readonly summary: string;
  readonly load: () => Promise<Command>;
}

/** In the order of the help. Upstream's scripts: pyproject.toml of 2.5.1, [project.scripts]. */
export const COMMANDS: readonly CommandEntry[] = [
  {
    name: "run",
    summary: "Do the whole recipe for a dataset: check, plan, preprocess, train all folds, choose",
    load: async () => (await import("./run_command.ts")).runCommand,
  },
  {
    name: "predict",
    upstream: "nnUNetv2_predict",
    summary: "Segment images with a trained model",
    load: async () => (await import("./predict_command.ts")).predictCommand,
  },
  {
    name: "predict_from_modelfolder",
    upstream: "nnUNetv2_predict_from_modelfolder",
    summary: "Segment images with the model in a given folder",
    load: async () => (await import("./predict_command.ts")).predictFromModelfolderCommand,
  },
  {
    name: "serve",
    summary: "Keep models loaded and segment images that are sent over HTTP",
    load: async () => (await import("./serve_command.ts")).serveCommand,
  },
  {
    name: "watch",
    summary: "Keep a model loaded and segment the images that arrive in a folder",
    load: async () => (await import("./watch_command.ts")).watchCommand,
  },
  {
    name: "view",
    summary: "Make a page of an image with segmentations, in one file",
    load: async () => (await import("./view_command.ts")).viewCommand,
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
    name: "plot_overlay_pngs",
    upstream: "nnUNetv2_plot_overlay_pngs",
    summary: "Draw segmentations over images",
    load: async () => (await import("./plot_overlay_command.ts")).plotOverlayCommand,
  },
  {
    name: "measure",
    summary: "Write sizes, places, intensities and surfaces of segmentations",
    load: async () => (await import("./measure_command.ts")).measureCommand,
  },
  {
    name: "verify",
    summary: "Tell how far segmentations agree with the Python nnU-Net's of the same images",
    load: async () => (await import("./verify_command.ts")).verifyCommand,
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
    load: async () => (await import("./doctor_command.ts")).doctorCommand,
  },
  {
    name: "demo",
    summary: "Show the whole cycle, training included, on phantom CTs",
    load: async () => (await import("./demo_command.ts")).demoCommand,
  },
  {
    name: "link",
    summary: "Make commands under Python nnU-Net's names (nnUNetv2_predict, ...) in a folder",
    load: async () => (await import("./link_command.ts")).linkCommand,
  },
  {
    name: "completion",
    summary: "Print a script by which bash, zsh or fish completes commands and flags",
    load: async () => (await import("./completion_command.ts")).completionCommand,
  },
  {
    name: "version",
    summary: "Print the version, and what the program may do",
    load: async () => (await import("./version_command.ts")).versionCommand,
  },
  {
    name: "find_best_configuration",
    upstream: "nnUNetv2_find_best_configuration",
    summary: "Choose the best model or ensemble by cross-validation",
    load: async () => (await import("./find_best_command.ts")).findBestCommand,
  },
  {
    name: "determine_postprocessing",
    upstream: "nnUNetv2_determine_postprocessing",
    summary: "Find out which postprocessing helps",
    load: async () => (await import("./postprocessing_command.ts")).determinePostprocessingCommand,
  },
  {
    name: "apply_postprocessing",
    upstream: "nnUNetv2_apply_postprocessing",
    summary: "Apply a postprocessing that was found",
    load: async () => (await import("./postprocessing_command.ts")).applyPostprocessingCommand,
  },
  {
    name: "ensemble",
    upstream: "nnUNetv2_ensemble",
    summary: "Average the probabilities of several models",
    load: async () => (await import("./ensemble_command.ts")).ensembleCommand,
  },
  {
    name: "accumulate_crossval_results",
    upstream: "nnUNetv2_accumulate_crossval_results",
    summary: "Collect the validation results of all folds",
    load: async () => (await import("./accumulate_command.ts")).accumulateCommand,
  },
  {
    name: "export_model_to_zip",
    upstream: "nnUNetv2_export_model_to_zip",
    summary: "Pack trained models into a zip file",
    load: async () => (await import("./export_zip_command.ts")).exportZipCommand,
  },
  {
    name: "install_pretrained_model_from_zip",
    upstream: "nnUNetv2_install_pretrained_model_from_zip",
    summary: "Install trained models from a zip file",
    load: async () => (await import("./install_zip_command.ts")).installZipCommand,
  },
  {
    name: "download_pretrained_model_by_url",
    upstream: "nnUNetv2_download_pretrained_model_by_url",
    summary: "Say how to get and install a trained model; no network is used",
    load: async () => (await import("./install_zip_command.ts")).downloadCommand,
  },
];

/** The command of this name, `nnunet`'s or Python nnU-Net's. */
export function findCommand(name: string): CommandEntry | undefined {
  return COMMANDS.find((entry) => entry.name === name || entry.upstream === name);
}
