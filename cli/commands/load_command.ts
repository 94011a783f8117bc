/** Loads what runs a command: only when it is called, so that `nnunet --help` starts nothing else. */
import type { Command } from "./command.ts";
import type { COMMANDS } from "./commands.ts";

type CommandName = (typeof COMMANDS)[number]["name"];

const LOADERS: Readonly<Record<CommandName, () => Promise<Command>>> = {
  predict: async () => (await import("./predict_command.ts")).predict,
  predict_from_modelfolder: async () => (await import("./predict_command.ts")).predictFromModelfolder,
  plan_and_preprocess: async () => (await import("./plan_and_preprocess_command.ts")).planAndPreprocessCommand,
  extract_fingerprint: async () => (await import("./extract_fingerprint_command.ts")).extractFingerprintCommand,
  plan_experiment: async () => (await import("./plan_experiment_command.ts")).planExperimentCommand,
  preprocess: async () => (await import("./preprocess_command.ts")).preprocessCommand,
  train: async () => (await import("./train_command.ts")).trainCommand,
  move_plans_between_datasets: async () => (await import("./move_plans_command.ts")).movePlansCommand,
  evaluate_folder: async () => (await import("./evaluate_command.ts")).evaluateFolderCommand,
  evaluate_simple: async () => (await import("./evaluate_command.ts")).evaluateSimpleCommand,
  export: async () => (await import("./export_command.ts")).exportCommand,
  convert_MSD_dataset: async () => (await import("./convert_msd_command.ts")).convertMsdCommand,
  convert_old_nnUNet_dataset: async () => (await import("./convert_v1_command.ts")).convertV1Command,
  doctor: async () => (await import("./doctor.ts")).doctor,
  link: async () => (await import("./link.ts")).link,
  version: async () => (await import("./version.ts")).version,
};

/** The command called `name` in the table of commands, or undefined if this version does not have it. */
export function loadCommand(name: string): Promise<Command> | undefined {
  return Object.hasOwn(LOADERS, name) ? LOADERS[name as CommandName]() : undefined;
}
