/**
 * Names of trained models and of ensembles of two, as folders and in inference_information.json: TRAINER__PLANS__CONFIGURATION, and
 * ensemble___MODEL___MODEL___FOLDS. Source: nnunetv2/utilities/file_path_utilities.py.
 */
import { UserError } from "../base/errors.ts";
import type { ModelName } from "./dataset_names.ts";

export function modelId({ trainer, plans, configuration }: Omit<ModelName, "dataset">): string {
  return `${trainer}__${plans}__${configuration}`;
}

/** "0_1_2_3_4" */
export function foldsText(folds: readonly number[]): string {
  return folds.join("_");
}

export function ensembleId(first: string, second: string, folds: readonly number[]): string {
  return `ensemble___${first}___${second}___${foldsText(folds)}`;
}

/**
 * Names with "__" in them can't be told apart once they are one, and a name that begins or ends in "_" not in an ensemble's.
 * @throws UserError naming the part of the name
 */
export function requireSeparableId(model: Omit<ModelName, "dataset">): void {
  for (const what of ["trainer", "plans", "configuration"] as const) {
    const name = model[what];
    if (!name.includes("__") && !name.startsWith("_") && !name.endsWith("_")) continue;
    throw new UserError({
      doing: "choosing the models to compare",
      problem: `the name of the ${what}, ${name}, ${
        name.includes("__") ? 'has "__" in it' : 'begins or ends with "_"'
      }, and "__" is what separates trainer, plans and configuration in the names of models`,
      remedy: what === "trainer"
        ? "train it under another name"
        : `give the ${what} another name in the plans, and rename the model's folder`,
    });
  }
}

/** The command that trains, or with `flags` validates, a fold: "train 4 2d 0 --val --npz". */
export function trainCommand({ dataset, trainer, plans, configuration }: ModelName, fold: number, flags = ""): string {
  const words = ["train", dataset, configuration, fold];
  if (trainer !== "nnUNetTrainer") words.push("-tr", trainer);
  if (plans !== "nnUNetPlans") words.push("-p", plans);
  if (flags) words.push(flags);
  return words.join(" ");
}
