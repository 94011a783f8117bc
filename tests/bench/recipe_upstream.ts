/** How the Python nnU-Net's commands are started where its scripts are not on the path. */
const ENTRIES: Readonly<Record<string, readonly [module: string, entry: string]>> = {
  evaluate_folder: ["evaluation.evaluate_predictions", "evaluate_folder_entry_point"],
  find_best_configuration: ["evaluation.find_best_configuration", "find_best_configuration_entry_point"],
  accumulate_crossval_results: ["evaluation.find_best_configuration", "accumulate_crossval_results_entry_point"],
  determine_postprocessing: [
    "postprocessing.remove_connected_components",
    "entry_point_determine_postprocessing_folder",
  ],
  apply_postprocessing: ["postprocessing.remove_connected_components", "entry_point_apply_postprocessing"],
  ensemble: ["ensembling.ensemble", "entry_point_ensemble_folders"],
  export_model_to_zip: ["model_sharing.entry_points", "export_pretrained_model_entry"],
  install_pretrained_model_from_zip: ["model_sharing.entry_points", "install_from_zip_entry_point"],
};

/** For `python -c`, by this program's name of the command. */
export const UPSTREAM_ENTRIES: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries(ENTRIES).map(([command, [module, entry]]) => [
    command,
    `from nnunetv2.${module} import ${entry} as f; f()`,
  ]),
);
