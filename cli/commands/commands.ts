/** All commands by name; load_command.ts has what runs them. */

export interface CommandEntry {
  /** After `nnunet`. */
  readonly name: string;
  /** Python nnU-Net's script of the same purpose. */
  readonly upstream?: string;
  readonly summary: string;
}

/** In the order of the help. Upstream's scripts: pyproject.toml of 2.5.1, [project.scripts]. */
export const COMMANDS = [
  {
    name: "predict",
    upstream: "nnUNetv2_predict",
    summary: "Segment images with a trained model",
  },
  {
    name: "predict_from_modelfolder",
    upstream: "nnUNetv2_predict_from_modelfolder",
    summary: "Segment images with the model in a given folder",
  },
  {
    name: "plan_and_preprocess",
    upstream: "nnUNetv2_plan_and_preprocess",
    summary: "Fingerprint, plan and preprocess datasets",
  },
  {
    name: "extract_fingerprint",
    upstream: "nnUNetv2_extract_fingerprint",
    summary: "Collect a dataset's statistics, and check its files",
  },
  {
    name: "plan_experiment",
    upstream: "nnUNetv2_plan_experiment",
    summary: "Choose networks and patch sizes for a dataset",
  },
  {
    name: "preprocess",
    upstream: "nnUNetv2_preprocess",
    summary: "Crop, normalise and resample a dataset",
  },
  {
    name: "train",
    upstream: "nnUNetv2_train",
    summary: "Train a model",
  },
  {
    name: "move_plans_between_datasets",
    upstream: "nnUNetv2_move_plans_between_datasets",
    summary: "Use one dataset's plans for another",
  },
  {
    name: "evaluate_folder",
    upstream: "nnUNetv2_evaluate_folder",
    summary: "Compare segmentations with the truth",
  },
  {
    name: "evaluate_simple",
    upstream: "nnUNetv2_evaluate_simple",
    summary: "Compare segmentations with the truth, without dataset.json",
  },
  {
    name: "export",
    summary: "Write a trained network as safetensors",
  },
  {
    name: "convert_MSD_dataset",
    upstream: "nnUNetv2_convert_MSD_dataset",
    summary: "Convert a dataset of the Medical Segmentation Decathlon",
  },
  {
    name: "convert_old_nnUNet_dataset",
    upstream: "nnUNetv2_convert_old_nnUNet_dataset",
    summary: "Convert a dataset of nnU-Net v1",
  },
  {
    name: "doctor",
    summary: "Say what this machine offers, which engine would be used and what is missing",
  },
  {
    name: "link",
    summary: "Make commands under Python nnU-Net's names (nnUNetv2_predict, ...) in a folder",
  },
  {
    name: "version",
    summary: "Print the version",
  },
] as const satisfies readonly CommandEntry[];

/** Upstream's commands that this version does not have. */
export const LATER_COMMANDS: readonly CommandEntry[] = ([
  ["find_best_configuration", "Choose the best model or ensemble by cross-validation"],
  ["determine_postprocessing", "Find out which postprocessing helps"],
  ["apply_postprocessing", "Apply a postprocessing that was found"],
  ["ensemble", "Average the probabilities of several models"],
  ["accumulate_crossval_results", "Collect the validation results of all folds"],
  ["export_model_to_zip", "Pack a trained model"],
  ["install_pretrained_model_from_zip", "Unpack a trained model"],
  ["download_pretrained_model_by_url", "Download and unpack a trained model"],
  ["plot_overlay_pngs", "Draw segmentations over images"],
] as const).map(([name, summary]) => ({ name, upstream: `nnUNetv2_${name}`, summary }));

/** Those that are there, then those that are not yet. */
export const ALL_COMMANDS: readonly CommandEntry[] = [...COMMANDS, ...LATER_COMMANDS];

/** The command of this name, `nnunet`'s or Python nnU-Net's. */
export function findCommand(name: string): CommandEntry | undefined {
  return ALL_COMMANDS.find((entry) => entry.name === name || entry.upstream === name);
}
