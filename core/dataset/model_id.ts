/**
 * Names of trained models and of ensembles of two, as folders and in inference_information.json: TRAINER__PLANS__CONFIGURATION, and
 * ensemble___MODEL___MODEL___FOLDS. Source: nnunetv2/utilities/file_path_utilities.py.
 */
import { UserError } from "../base/errors.ts";

/** What a trained model's folder is named after. */
export interface ModelName {
  readonly dataset: string;
  readonly trainer: string;
  readonly plans: string;
  readonly configuration: string;
}

export function modelId({ trainer, plans, configuration }: Omit<ModelName, "dataset">): string {
  return `${trainer}__${plans}__${configuration}`;
}

/** What {@link modelId} was made of; undefined for a folder of another name. */
export function parseModelId(folder: string): Omit<ModelName, "dataset"> | undefined {
  const [trainer, plans, configuration, ...more] = folder.split("__");
  return configuration === undefined || more.length > 0 ? undefined : { trainer, plans, configuration };
}

/** The folder of ensembles, beside the models of a dataset. */
export const ENSEMBLES = "ensembles";

/** A folder in {@link ENSEMBLES}. */
export function ensembleId(first: string, second: string, folds: readonly number[]): string {
  return `ensemble___${first}___${second}___${folds.join("_")}`;
}

/** The folder in a model's that holds the validations of these folds, "all" among them: "crossval_results_folds_0_1_2_3_4". */
export function crossvalFolder(folds: readonly (number | string)[]): string {
  return `crossval_results_folds_${folds.join("_")}`;
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
  return ["train", dataset, configuration, fold, ...modelFlags({ trainer, plans }), ...flags ? [flags] : []].join(" ");
}

/** "-tr TRAINER" and "-p PLANS", where they are not the defaults. */
export function modelFlags({ trainer, plans }: Pick<ModelName, "trainer" | "plans">): string[] {
  return [
    ...trainer === "nnUNetTrainer" ? [] : [`-tr ${trainer}`],
    ...plans === "nnUNetPlans" ? [] : [`-p ${plans}`],
  ];
}
