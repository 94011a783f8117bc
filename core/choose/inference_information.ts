/**
 * inference_information.json: which models were compared, which is the best, and what postprocessing follows. Source:
 * find_best_configuration of nnunetv2/evaluation/find_best_configuration.py.
 */
import { z } from "zod";
import { checkFields } from "../base/fields.ts";
import { UserError } from "../base/errors.ts";
import { JsonFloat, readJsonFile, stringifyJson } from "../base/json.ts";
import { join } from "../base/path.ts";
import { PATH_NAME } from "../base/path_name.ts";
import { statOrNull } from "../base/stat_or_null.ts";
import { resolveModelFolder } from "../dataset/dataset_names.ts";
import type { RootFolders } from "../dataset/environment.ts";
import { crossvalFolder, ensembleId, ENSEMBLES, modelId } from "../dataset/model_id.ts";
import type { TrainedModel } from "../ensemble/fold_files.ts";
import { previousStageOf } from "./available_models.ts";

export const INFORMATION_FILE = "inference_information.json";

/** What is chosen. */
export interface InferenceInformation {
  readonly dataset: string;
  readonly folds: readonly number[];
  readonly ensembling: boolean;
  /** All that were compared, in order. */
  readonly considered: readonly TrainedModel[];
  /** Mean Dice of the foreground by model or ensemble. */
  readonly results: ReadonlyMap<string, number>;
  /** One, or the two of an ensemble. */
  readonly best: readonly TrainedModel[];
  /** Mean Dice of the best one before and after postprocessing. */
  readonly before: number;
  readonly after: number;
  /** postprocessing.pkl of the best one, and plans.json beside it. */
  readonly postprocessingFile: string;
  readonly plansFile: string;
}

export function informationText(information: InferenceInformation): string {
  const { dataset, folds, ensembling, considered, results, best } = information;
  return stringifyJson({
    folds,
    dataset_name_or_id: dataset,
    considered_models: considered.map(({ plans, configuration, trainer }) => ({ plans, configuration, trainer })),
    ensembling_allowed: ensembling,
    all_results: Object.fromEntries(Array.from(results, ([id, dice]) => [id, new JsonFloat(dice)])),
    best_model_or_ensemble: {
      result_on_crossval_pre_pp: new JsonFloat(information.before),
      result_on_crossval_post_pp: new JsonFloat(information.after),
      postprocessing_file: information.postprocessingFile,
      some_plans_file: information.plansFile,
      selected_model_or_models: best.map(({ configuration, trainer, plans }) => ({
        configuration,
        trainer,
        plans_identifier: plans,
      })),
    },
  }, { sortKeys: true });
}

const MODEL = z.object({ configuration: PATH_NAME, trainer: PATH_NAME, plans_identifier: PATH_NAME });
const INFORMATION = z.looseObject({
  folds: z.array(z.int("expected a fold's number").min(0).max(999_999)).min(1, "expected at least one fold"),
  best_model_or_ensemble: z.looseObject({
    postprocessing_file: z.string(),
    selected_model_or_models: z.array(MODEL).min(1, "expected one model or more").max(16, "expected few models"),
  }),
});

/** A model that predicts, and the configuration whose segmentations it needs, if it is a cascade's second stage. */
export interface BestModel extends TrainedModel {
  readonly previousStage?: string;
}

/** What predicting with the best takes. */
export interface BestChoice {
  readonly folds: readonly number[];
  readonly models: readonly BestModel[];
  readonly postprocessingFile: string;
}

/**
 * Reads what was chosen for a dataset, here or by Python's nnU-Net.
 * @throws UserError if nothing was chosen yet, a model is not there, or the file is not as it should be
 */
export async function readBestChoice(dataset: string, folders: RootFolders): Promise<BestChoice> {
  const doing = "looking for the best configuration";
  if (folders.results === undefined) {
    const problem = "the environment variable nnUNet_results is not set, so there is no place to look in";
    throw new UserError({ doing, problem, remedy: "set it to the folder that holds the trained models" });
  }
  const results = join(folders.results, dataset);
  const file = join(results, INFORMATION_FILE);
  if (await statOrNull(file, doing) === null) {
    const remedy = `run find_best_configuration ${dataset}, or name a configuration with -c instead of --best`;
    throw new UserError({ doing, file, problem: "there is no such file", remedy });
  }
  const { value } = await readJsonFile(file, doing);
  const remedy = `run find_best_configuration ${dataset} again`;
  const { folds, best_model_or_ensemble: best } = checkFields(INFORMATION, value, { doing, file, path: [], remedy });
  const models: BestModel[] = [];
  for (const { trainer, plans_identifier: plans, configuration } of best.selected_model_or_models) {
    const name = { dataset, trainer, plans, configuration };
    const model = { ...name, folder: await resolveModelFolder(name, folders) };
    const previousStage = await previousStageOf(model);
    models.push({ ...model, ...(previousStage !== undefined && { previousStage }) });
  }
  const postprocessingFile = await findPostprocessing(results, models, folds, best.postprocessing_file);
  return { folds, models, postprocessingFile };
}

/** Where it lies in these results, which may have been moved or installed since; else where the file says. */
async function findPostprocessing(
  results: string,
  models: readonly TrainedModel[],
  folds: readonly number[],
  written: string,
): Promise<string> {
  const ids = models.map(modelId);
  const source = ids.length === 1
    ? join(results, ids[0], crossvalFolder(folds))
    : join(results, ENSEMBLES, ensembleId(ids[0], ids[1], folds));
  const doing = "looking for the postprocessing";
  for (const place of [join(source, "postprocessing.pkl"), join(source, "postprocessing.json"), written]) {
    if ((await statOrNull(place, doing))?.isFile) return place;
  }
  const problem = "there is no such file, which find_best_configuration writes";
  throw new UserError({ doing, file: join(source, "postprocessing.pkl"), problem, remedy: "run it again" });
}
