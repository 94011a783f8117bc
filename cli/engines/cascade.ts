/** The models of a cascade: a second stage that stays loaded, and the first one, whose segmentations it needs. */
import { UserError } from "../../core/base/errors.ts";
import { removeLeftFolders } from "../../core/base/held_folder.ts";
import { basename, dirname, join } from "../../core/base/path.ts";
import type { Model } from "../../core/predict/model/model_folder.ts";
import type { ResidentRun } from "../../core/predict/run/resident_models.ts";

/** How the names of hidden folders for a first stage's segmentations begin, beside those of the second. */
export const FIRST_STAGE_FOLDER = ".nnunet-first-stage-";

/** Removes those that killed runs have left. */
export async function removeFirstStages(folder: string): Promise<void> {
  await removeLeftFolders(folder, FIRST_STAGE_FOLDER);
}

/** Where the first stage's segmentation of a case goes. */
export function firstStageFile({ dataset }: Model, folder: string, id: string): string {
  return join(folder, `${id}${dataset.fileEnding}`);
}

/** What the first stage predicts for a run of the second one; `folder` is for its segmentations. */
export function firstStageRun({ cases, options }: ResidentRun, model: Model, folder: string): ResidentRun {
  return {
    cases: cases.map(({ id, files }) => ({ id, files, output: firstStageFile(model, folder, id) })),
    options: { ...options, saveProbabilities: false, checksums: false },
  };
}

/**
 * The model among `all` whose segmentations another one needs: of the same dataset and plans, with the same trainer where there are several.
 * @returns null where it is not among them, undefined where none is needed
 */
export function firstStageOf(
  { plans, configuration, trainerName }: Model,
  all: readonly Model[],
): Model | null | undefined {
  if (configuration.previousStage === undefined) return undefined;
  const firsts = all.filter((one) =>
    one.configuration.name === configuration.previousStage && one.plans.datasetName === plans.datasetName &&
    one.plans.plansName === plans.plansName
  );
  return firsts.find((one) => one.trainerName === trainerName) ?? firsts.at(0) ?? null;
}

/** @param flag By which the first stage's folder is given */
export function lacksFirstStage({ folder, configuration, plans }: Model, doing: string, flag: string): UserError {
  const { name, previousStage = "" } = configuration;
  const own = basename(folder);
  const place = own.endsWith(name) ? join(dirname(folder), own.slice(0, -name.length) + previousStage) : "FOLDER";
  return new UserError({
    doing,
    file: join(folder, "plans.json"),
    problem: `${name} is the second stage of a cascade, which needs the segmentations of ${previousStage}`,
    remedy: `give the folder of that model too, of ${plans.datasetName} and ${plans.plansName}: ${flag} ${place}`,
  });
}
