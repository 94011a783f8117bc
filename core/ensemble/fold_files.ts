/** What the validations of a model's folds have left, case by case, and the folder in which it is put together. */
import { UserError } from "../base/errors.ts";
import { ensureFolder, removeIfThere } from "../base/files.ts";
import { removeLeftovers } from "../base/leftovers.ts";
import { join } from "../base/path.ts";
import { isFolder } from "../dataset/dataset_names.ts";
import type { ModelName } from "../dataset/model_id.ts";
import { filesEndingIn } from "../dataset/raw_dataset.ts";

/** A trained model. */
export interface TrainedModel extends ModelName {
  /** nnUNet_results/DATASET/TRAINER__PLANS__CONFIGURATION. */
  readonly folder: string;
}

/** A file of a fold's validation. */
export interface FoldFile {
  /** Of the case. */
  readonly id: string;
  readonly fold: number;
  readonly file: string;
}

/** The files of all folds that end in `ending`, those of the first fold first; none of them is opened. */
export async function filesOfFolds(
  { folder }: TrainedModel,
  folds: readonly number[],
  ending: string,
): Promise<FoldFile[]> {
  const files: FoldFile[] = [];
  for (const fold of folds) {
    const validation = join(folder, `fold_${fold}`, "validation");
    for (const name of await filesEndingIn(validation, ending)) {
      files.push({ id: name.slice(0, name.length - ending.length), fold, file: join(validation, name) });
    }
  }
  return files;
}

/** Folds of which there is no file. */
export function foldsWithout(files: readonly FoldFile[], folds: readonly number[]): number[] {
  return folds.filter((fold) => !files.some((file) => file.fold === fold));
}

/** The files by case. @throws UserError for a case that two folds have predicted: they were trained with different splits */
export function casesOf(files: readonly FoldFile[], model: TrainedModel): Map<string, FoldFile> {
  const byId = new Map<string, FoldFile>();
  for (const file of files) {
    const other = byId.get(file.id);
    if (other) throw twice(model, file.id, other.fold, file.fold);
    byId.set(file.id, file);
  }
  return byId;
}

function twice(model: TrainedModel, id: string, first: number, second: number): UserError {
  return new UserError({
    doing: "averaging the probabilities of cross-validations",
    caseId: id,
    file: model.folder,
    problem: `it was predicted in the validation of fold ${first} and of fold ${second}, so they are not of one ` +
      "cross-validation",
    remedy:
      "train all folds with one splits_final.json, or take what is of another split out of the validation's folder",
  });
}

/** The folder of what is collected or averaged, made if it is not there; under `overwrite` without what an earlier run has left in it. */
export async function openResultsFolder(folder: string, overwrite: boolean, doing: string): Promise<void> {
  if (overwrite && await isFolder(folder)) await removeIfThere(folder, "removing earlier results", { recursive: true });
  await ensureFolder(folder, doing);
  removeLeftovers(folder);
}
