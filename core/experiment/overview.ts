/** All stages of an experiment as they stand, seen from the files. Nothing is made or changed by looking. */
import type { NonFinitePolicy } from "../preprocess/non_finite.ts";
import { readRawDataset } from "../dataset/raw_dataset.ts";
import type { Planner } from "../plan/planners.ts";
import type { InputStates } from "../preprocess/data_record.ts";
import { inputStates } from "../preprocess/preprocess_dataset_folder.ts";
import { readRecipe, type RecipeChanges } from "../train/recipe.ts";
import { countFolds, type Fold } from "../train/splits.ts";
import { type ChoiceState, lookAtChoice } from "./choice_state.ts";
import {
  type DataState,
  lookAtData,
  lookAtFingerprint,
  lookAtPlans,
  type PlanningChoice,
  type PlansState,
  type StageState,
} from "./dataset_state.ts";
import { chooseConfigurations, type Experiment, listTasks } from "./experiment.ts";
import { type FoldState, lookAtFolds } from "./fold_state.ts";

/** What a run is asked for. */
export interface ExperimentRequest {
  readonly name: string;
  /** The dataset's folders. */
  readonly rawFolder: string;
  readonly preprocessed: string;
  readonly results: string;
  readonly plansName: string;
  /** Undefined where the plans are to be there. */
  readonly planner?: Planner;
  /** What the planner is to be told, as the flags of plan_experiment do; without any, plans that are there are not judged by it. */
  readonly planning: PlanningChoice;
  /** Undefined: those of nnU-Net's recipe. */
  readonly configurations?: readonly string[];
  /** Undefined: all of the cross-validation. */
  readonly folds?: readonly Fold[];
  readonly trainerName: string;
  readonly changes: RecipeChanges;
  readonly seed?: number;
  readonly randomSplit: boolean;
  readonly saveProbabilities: boolean;
  /** False: the dataset need not be checked. */
  readonly verify: boolean;
  readonly allowGeometryMismatch: boolean;
  readonly nan: NonFinitePolicy;
}

export interface Overview {
  readonly cases: number;
  readonly fingerprint: StageState;
  readonly plans: PlansState;
  /** From here on: undefined or empty as long as there are no plans. */
  readonly experiment?: Experiment;
  readonly data: readonly DataState[];
  readonly folds: readonly FoldState[];
  /** Absent, too, where there is nothing to choose by. */
  readonly choice?: ChoiceState;
}

/** @throws UserError where what is there can't be read, or what is asked for is not in it */
export async function lookAtExperiment(request: ExperimentRequest): Promise<Overview> {
  const { rawFolder, preprocessed } = request;
  const raw = await readRawDataset(rawFolder);
  const fingerprint = await lookAtFingerprint(raw, preprocessed, request);
  const plans = await lookAtPlans(raw, request);
  const stages = { cases: raw.cases.length, fingerprint, plans };
  if (!plans.plans || !plans.dataset) return { ...stages, data: [], folds: [] };
  const inputs = new Map<string, InputStates>();
  for (const one of raw.cases) if (one.images.length > 0) inputs.set(one.id, await inputStates(one));
  const configurations = chooseConfigurations(plans.plans, request.configurations);
  const allFolds = Array.from({ length: await countFolds(preprocessed) }, (_, fold) => fold);
  const { plansName, results, changes, seed, randomSplit, saveProbabilities, folds = allFolds, trainerName, nan } =
    request;
  const experiment: Experiment = {
    raw,
    inputs,
    preprocessed,
    results,
    plansName,
    plans: plans.plans,
    dataset: plans.dataset,
    recipe: readRecipe(trainerName, changes),
    changes,
    ...(seed !== undefined && { seed }),
    configurations,
    tasks: listTasks(configurations, folds, allFolds),
    allFolds,
    randomSplit,
    saveProbabilities,
  };
  const data = await lookAtData(experiment, nan);
  const states = await lookAtFolds(experiment);
  const choice = await lookAtChoice(experiment, states);
  return { ...stages, experiment, data, folds: states, ...(choice && { choice }) };
}

/** What of a run is stale, by stage. */
export interface StaleStage {
  readonly what: string;
  readonly stale: readonly string[];
}
