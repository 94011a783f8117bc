/**
 * The ensemble of models' cross-validations: of each case the probabilities of the one fold of every model that did not train on it.
 * Models may have different splits. Source: ensemble_crossvalidations of nnunetv2/ensembling/ensemble.py.
 */
import { UserError } from "../base/errors.ts";
import { copyAtomically } from "../base/files.ts";
import { join } from "../base/path.ts";
import { plural } from "../base/plural.ts";
import { statOrNull } from "../base/stat_or_null.ts";
import { modelId, trainCommand } from "../dataset/model_id.ts";
import { compareNames } from "../dataset/raw_dataset.ts";
import { readDatasetJson } from "../dataset/read_dataset_json.ts";
import { readPlans } from "../plan/read_plans.ts";
import { ensembleCases, type EnsembleOptions, type FailedEnsembleCase } from "./ensemble_cases.ts";
import { casesOf, filesOfFolds, foldsWithout, openResultsFolder, type TrainedModel } from "./fold_files.ts";
import { labelRule } from "./labeller.ts";

export interface CrossvalidationEnsemble extends EnsembleOptions {
  readonly models: readonly TrainedModel[];
  readonly folds: readonly number[];
  readonly output: string;
  /** False: cases whose segmentation is there are left as they are. True: what is in the folder is removed first. */
  readonly overwrite: boolean;
}

const DOING = "averaging the probabilities of cross-validations";

/**
 * What is to be averaged, by case, in the order of the ids; to be asked before the work, as it finds what is missing.
 * @throws UserError listing folds and cases without probabilities, with the commands that make them
 */
export async function listCrossvalidations(
  models: readonly TrainedModel[],
  folds: readonly number[],
): Promise<Map<string, string[]>> {
  const found = await Promise.all(models.map((model) => filesOfFolds(model, folds, ".npz")));
  const absent = found.flatMap((files, i) =>
    foldsWithout(files, folds).map((fold) => trainCommand(models[i], fold, "--val --npz"))
  );
  if (absent.length > 0) {
    throw new UserError({
      doing: DOING,
      problem: `there are no probabilities (.npz) of the validation of ${plural(absent.length, "fold")}`,
      remedy: `make them with ${absent.join("; ")}; or leave ensembles out with --disable_ensembling`,
    });
  }
  const byModel = found.map((files, i) => casesOf(files, models[i]));
  const ids = [...new Set(byModel.flatMap((cases) => [...cases.keys()]))].sort(compareNames);
  const missing = byModel.flatMap((cases, i) => {
    const lacking = ids.filter((id) => !cases.has(id));
    return lacking.length === 0 ? [] : [`${modelId(models[i])} lacks ${lacking.join(", ")}`];
  });
  if (missing.length > 0) {
    const problem = `not all models have probabilities (.npz) of the same cases: ${missing.join("; ")}`;
    const remedy = "validate the folds that have these cases again with train ... --val --npz, or train all folds of " +
      "all models with one splits_final.json; or leave ensembles out with --disable_ensembling";
    throw new UserError({ doing: DOING, problem, remedy });
  }
  return new Map(ids.map((id) => [id, byModel.flatMap((cases) => cases.get(id)?.file ?? [])]));
}

/**
 * Writes the segmentations, then plans.json and dataset.json of the first model, into `output`.
 * @throws UserError as {@link listCrossvalidations}, and for what concerns every case; Interrupted if the signal aborts
 */
export async function ensembleCrossvalidations(request: CrossvalidationEnsemble): Promise<FailedEnsembleCase[]> {
  const { models, folds, output, overwrite } = request;
  const [{ folder }] = models;
  const cases = await listCrossvalidations(models, folds);
  const dataset = await readDatasetJson(join(folder, "dataset.json"));
  const { reader } = await readPlans(join(folder, "plans.json"));
  await openResultsFolder(output, overwrite, "making the ensemble's folder");
  const jobs = Array.from(cases, ([caseId, files]) => ({
    caseId,
    files,
    reader,
    rule: labelRule(dataset.labels),
    output: join(output, `${caseId}${dataset.fileEnding}`),
  }));
  const left: typeof jobs = [];
  for (const job of jobs) if (!(await statOrNull(job.output, DOING))?.isFile) left.push(job);
  const failed = await ensembleCases(left, request);
  for (const name of ["plans.json", "dataset.json"]) {
    const { signal } = request;
    await copyAtomically(join(folder, name), join(output, name), { doing: DOING, ...(signal && { signal }) });
  }
  return failed;
}
