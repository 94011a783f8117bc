/** Whether the best configuration is chosen, of the folds and configurations that are there now. */
import { z } from "zod";
import { UserError } from "../base/errors.ts";
import { readJsonFile } from "../base/json.ts";
import { join } from "../base/path.ts";
import { readFolder } from "../base/read_folder.ts";
import { statOrNull } from "../base/stat_or_null.ts";
import { INFORMATION_FILE } from "../choose/inference_information.ts";
import { crossvalFolder, ensembleId, ENSEMBLES, modelId } from "../dataset/model_id.ts";
import { type Experiment, modelIdOf } from "./experiment.ts";
import { type FoldState, lookAtFold } from "./fold_state.ts";

export interface ChoiceState {
  /** Folds of the cross-validation that every configuration has; what is chosen is chosen by them. */
  readonly folds: readonly number[];
  /** All trainings that were asked for are done. */
  readonly isReady: boolean;
  /** What was chosen, of these folds and configurations. */
  readonly best?: {
    /** One configuration, or the two of an ensemble. */
    readonly configurations: readonly string[];
    /** Mean Dice of the foreground, before and after the postprocessing. */
    readonly before: number;
    readonly after: number;
  };
  /** What an earlier run has collected is of earlier validations, and made anew. */
  readonly isOutdated: boolean;
}

const DOING = "looking at what was chosen";

// zod's numbers are finite, and these may be NaN
const NUMBER = z.custom<number>((value) => typeof value === "number", "expected a number");
const INFORMATION = z.object({
  folds: z.array(z.number()),
  ensembling_allowed: z.boolean(),
  considered_models: z.array(z.object({ plans: z.string(), configuration: z.string(), trainer: z.string() })),
  best_model_or_ensemble: z.object({
    result_on_crossval_pre_pp: NUMBER,
    result_on_crossval_post_pp: NUMBER,
    selected_model_or_models: z.array(z.object({ configuration: z.string() })).min(1),
  }),
});

/**
 * @param states Of the experiment's tasks
 * @returns undefined where there is nothing to choose by: a training on all cases is validated on what it was trained on
 */
export async function lookAtChoice(
  experiment: Experiment,
  states: readonly FoldState[],
): Promise<ChoiceState | undefined> {
  const { configurations, allFolds, tasks } = experiment;
  if (tasks.every(({ fold }) => fold === "all" || !allFolds.includes(fold))) return undefined;
  const folds: number[] = [];
  let validated = 0;
  for (const fold of allFolds) {
    const ofFold: FoldState[] = [];
    for (const { name } of configurations) {
      const known = states.find(({ task }) => task.configuration === name && task.fold === fold);
      ofFold.push(known ?? await lookAtFold(experiment, { configuration: name, fold }));
    }
    const isAsked = tasks.some((task) => task.fold === fold);
    if (!ofFold.every(({ progress, stale }) => progress.kind === "done" && (isAsked || stale.length === 0))) continue;
    folds.push(fold);
    for (const { folder } of ofFold) {
      const stat = await statOrNull(join(folder, "validation", "summary.json"), DOING);
      validated = Math.max(validated, stat?.mtime?.getTime() ?? 0);
    }
  }
  const isReady = folds.length > 0 && states.every(({ progress }) => progress.kind === "done");
  const best = await readBest(experiment, folds, validated);
  return { folds, isReady, ...(best && { best }), isOutdated: await isOutdated(experiment, folds, validated) };
}

/** Of these folds and configurations, and not older than their validations. */
async function readBest(
  experiment: Experiment,
  folds: readonly number[],
  validated: number,
): Promise<ChoiceState["best"]> {
  const { results, configurations, saveProbabilities } = experiment;
  const file = join(results, INFORMATION_FILE);
  const stat = await statOrNull(file, DOING);
  if (stat === null || (stat.mtime?.getTime() ?? 0) < validated) return undefined;
  let value: unknown;
  try {
    ({ value } = await readJsonFile(file, DOING));
  } catch (error) {
    if (error instanceof UserError) return undefined; // It is written anew.
    throw error;
  }
  const information = INFORMATION.safeParse(value).data;
  if (!information || information.ensembling_allowed !== saveProbabilities) return undefined;
  const considered = information.considered_models.map(modelId).sort().join();
  if (considered !== configurations.map(({ name }) => modelIdOf(experiment, name)).sort().join()) return undefined;
  if (information.folds.toSorted((a, b) => a - b).join() !== folds.join()) return undefined;
  const { selected_model_or_models: selected, ...dice } = information.best_model_or_ensemble;
  return {
    configurations: selected.map(({ configuration }) => configuration),
    before: dice.result_on_crossval_pre_pp,
    after: dice.result_on_crossval_post_pp,
  };
}

/** True if something that was collected or averaged of these folds is older than their validations. */
async function isOutdated(experiment: Experiment, folds: readonly number[], validated: number): Promise<boolean> {
  const { results, configurations } = experiment;
  const ids = configurations.map(({ name }) => modelIdOf(experiment, name));
  const ensembles = ids.flatMap((first, i) =>
    ids.slice(i + 1).map((second) => join(results, ENSEMBLES, ensembleId(first, second, folds)))
  );
  const collected = ids.map((id) => join(results, id, crossvalFolder(folds)));
  for (const folder of [...collected, ...ensembles]) {
    for (const { name, isFile } of await readFolder(folder, DOING) ?? []) {
      const stat = isFile ? await statOrNull(join(folder, name), DOING) : null;
      if (stat !== null && (stat.mtime?.getTime() ?? validated) < validated) return true;
    }
  }
  return false;
}
