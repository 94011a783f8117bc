/**
 * The validations of all folds of a model in one folder, evaluated together: crossval_results_folds_0_1_2_3_4. Source:
 * accumulate_cv_results of nnunetv2/evaluation/accumulate_cv_results.py.
 */
import { UserError } from "../base/errors.ts";
import { copyAtomically, removeIfThere } from "../base/files.ts";
import { join } from "../base/path.ts";
import { plural } from "../base/plural.ts";
import { statOrNull } from "../base/stat_or_null.ts";
import type { RootFolders } from "../dataset/environment.ts";
import { trainCommand } from "../dataset/model_id.ts";
import { readDatasetJson } from "../dataset/read_dataset_json.ts";
import {
  casesOf,
  filesOfFolds,
  type FoldFile,
  foldsWithout,
  openResultsFolder,
  type TrainedModel,
} from "../ensemble/fold_files.ts";
import { evaluateFolder } from "../evaluate/evaluate_folder.ts";
import { readForegroundDice } from "../evaluate/read_summary.ts";
import { evaluatedOf } from "../evaluate/targets.ts";
import { copyBesideLabels } from "../formats/image/beside_labels.ts";
import { readPlans } from "../plan/read_plans.ts";
import { truthOfModel } from "./truth_folder.ts";

/** How a model's or an ensemble's segmentations are compared with the truth. */
export interface ComparisonOptions {
  /** Threads; 1: in the calling thread. Default: one for each core. */
  readonly threads?: number;
  /** Bytes that the run may take; undefined: what the machine has to give. */
  readonly maxMemory?: number;
  readonly signal?: AbortSignal;
  readonly onCase?: (done: number, of: number) => void;
  readonly onWarning?: (message: string) => void;
}

export interface CrossvalRequest extends ComparisonOptions {
  readonly model: TrainedModel;
  readonly folds: readonly number[];
  /** As the summary's paths begin. */
  readonly output: string;
  /** True: a folder that is there is removed first. False: what is in it is not copied, and not compared, again. */
  readonly overwrite: boolean;
  readonly folders: RootFolders;
}

export interface CrossvalResults {
  readonly cases: number;
  /** Mean Dice of the foreground. */
  readonly dice: number;
  readonly summary: string;
}

const DOING = "collecting the validation results";

/**
 * Copies the segmentations, dataset.json and plans.json, and writes summary.json, which is the last and tells that the others are there.
 * @throws UserError if folds are not trained (all are listed, with the commands that train them), or two have the same case
 */
export async function accumulateResults(request: CrossvalRequest): Promise<CrossvalResults> {
  const { model, output, overwrite, folders } = request;
  const dataset = await readDatasetJson(join(model.folder, "dataset.json"));
  const plans = await readPlans(join(model.folder, "plans.json"));
  const cases = await listValidations(request, dataset.fileEnding);
  const references = await truthOfModel(folders, [plans.datasetName || model.dataset, model.dataset]);
  const summary = join(output, "summary.json");
  const options = { doing: DOING, ...(request.signal && { signal: request.signal }) };
  await openResultsFolder(output, overwrite, "making the folder of the results");
  for (const name of ["dataset.json", "plans.json"]) {
    await copyAtomically(join(model.folder, name), join(output, name), options);
  }
  for (const [id, { file }] of cases) {
    const target = join(output, `${id}${dataset.fileEnding}`);
    if ((await statOrNull(target, DOING))?.isFile) continue;
    await removeIfThere(summary, DOING); // which is not of all cases from here on
    await copyBesideLabels(file, target, options);
    await copyAtomically(file, target, options);
  }
  if (!(await statOrNull(summary, DOING))?.isFile) {
    await evaluateFolder({
      ...evaluatedOf(dataset),
      references,
      predictions: output,
      reader: plans.reader,
      chill: true,
      output: summary,
      threads: request.threads,
      maxMemory: request.maxMemory,
      signal: request.signal,
      onCase: request.onCase,
      onWarning: request.onWarning,
    });
  }
  return { cases: cases.size, dice: await readForegroundDice(summary), summary };
}

/**
 * The segmentations of all folds by case, those of the first fold first; no file is opened.
 * @throws UserError as {@link accumulateResults}
 */
export async function listValidations(
  { model, folds }: Pick<CrossvalRequest, "model" | "folds">,
  fileEnding: string,
): Promise<Map<string, FoldFile>> {
  const files = await filesOfFolds(model, folds, fileEnding);
  const cases = casesOf(files, model);
  const missing = foldsWithout(files, folds);
  if (missing.length > 0) {
    throw new UserError({
      doing: DOING,
      file: model.folder,
      problem: `there is no validation of ${plural(missing.length, "fold")}: ${missing.join(", ")}`,
      remedy: `train them: ${missing.map((fold) => trainCommand(model, fold, "--npz")).join("; ")} ` +
        "(with --val where they are trained); or name the folds that are trained with -f",
    });
  }
  return cases;
}
