/**
 * The whole recipe for one dataset as data: which configurations and folds are trained, and where everything lies. What is done and
 * what is left is seen from the files themselves (core/experiment/dataset_state.ts, core/experiment/fold_state.ts), and from nothing else.
 */
import { UserError } from "../base/errors.ts";
import { nearestName } from "../base/nearest.ts";
import type { DatasetJson } from "../dataset/dataset_json.ts";
import { modelId } from "../dataset/model_id.ts";
import type { RawDataset } from "../dataset/raw_dataset.ts";
import type { Configuration, Plans } from "../plan/plans.ts";
import { resolveConfiguration } from "../plan/read_plans.ts";
import type { InputStates } from "../preprocess/data_record.ts";
import type { RecipeChanges } from "../train/recipe.ts";
import type { Fold } from "../train/splits.ts";
import type { TrainingRecipe } from "../trainers/training_recipe.ts";

/** The configurations of nnU-Net's recipe, in the order they are trained in. */
export const STANDARD_CONFIGURATIONS: readonly string[] = ["2d", "3d_fullres", "3d_lowres", "3d_cascade_fullres"];

/** One training. */
export interface FoldTask {
  readonly configuration: string;
  readonly fold: Fold;
}

export interface Experiment {
  readonly raw: RawDataset;
  /** States of each case's raw files. */
  readonly inputs: ReadonlyMap<string, InputStates>;
  /** The dataset's folders in nnUNet_preprocessed and nnUNet_results. */
  readonly preprocessed: string;
  readonly results: string;
  /** Of the plans file's name. */
  readonly plansName: string;
  readonly plans: Plans;
  /** Beside the plans. */
  readonly dataset: DatasetJson;
  readonly recipe: TrainingRecipe;
  readonly changes: RecipeChanges;
  readonly seed?: number;
  /** In the order they are trained in: what another takes predictions of is before it. */
  readonly configurations: readonly Configuration[];
  readonly tasks: readonly FoldTask[];
  /** Of the cross-validation. */
  readonly allFolds: readonly number[];
  readonly randomSplit: boolean;
  /** Validations are to leave the probabilities as well. */
  readonly saveProbabilities: boolean;
}

/**
 * The configurations to train, with the earlier stages of cascades among them.
 * @param asked Undefined: those of nnU-Net's recipe that the plans have
 * @throws UserError for one that the plans don't have
 */
export function chooseConfigurations(plans: Plans, asked: readonly string[] | undefined): Configuration[] {
  const names = asked ?? STANDARD_CONFIGURATIONS.filter((name) => plans.configurationNames.includes(name));
  const doing = "choosing the configurations";
  const file = plans.file;
  const known = plans.configurationNames.join(", ");
  if (names.length === 0) {
    const problem = `the plans have none of ${STANDARD_CONFIGURATIONS.join(", ")}`;
    throw new UserError({ doing, file, problem, remedy: `name some with -c: ${known}` });
  }
  const chosen = new Map<string, Configuration>();
  const add = (name: string) => {
    if (chosen.has(name)) return;
    if (!plans.configurationNames.includes(name)) {
      const near = nearestName(name, plans.configurationNames);
      throw new UserError({
        doing,
        file,
        problem: `the plans have no configuration ${name}${near === undefined ? "" : `; did you mean ${near}?`}`,
        remedy: `-c takes ${known}`,
      });
    }
    const configuration = resolveConfiguration(plans, name);
    if (configuration.previousStage !== undefined) add(configuration.previousStage);
    chosen.set(name, configuration);
  };
  names.forEach(add);
  return [...chosen.values()];
}

/**
 * Trainings in their order. Of a stage that another one takes the predictions of, all folds of the cross-validation are needed: together
 * they predict every case.
 * @param allFolds Of the cross-validation
 */
export function listTasks(
  configurations: readonly Configuration[],
  folds: readonly Fold[],
  allFolds: readonly number[],
): FoldTask[] {
  return configurations.flatMap(({ name }) => {
    const isTaken = configurations.some(({ previousStage }) => previousStage === name);
    const needed = isTaken ? [...new Set<Fold>([...allFolds, ...folds])] : folds;
    return needed.map((fold) => ({ configuration: name, fold }));
  });
}

/** TRAINER__PLANS__CONFIGURATION of a configuration's model. */
export function modelIdOf({ recipe, plans }: Experiment, configuration: string): string {
  return modelId({ trainer: recipe.folderName, plans: plans.plansName, configuration });
}

/** "3d_fullres, fold 2". */
export function taskName({ configuration, fold }: FoldTask): string {
  return `${configuration}, fold ${fold}`;
}
