/** Cases through a model that stays loaded; of a cascade's second stage through the first one before. */
import { heldFolderPath, holdFolder } from "../../core/base/held_folder.ts";
import type { Model } from "../../core/predict/model/model_folder.ts";
import type { PredictionHooks } from "../../core/predict/run/request.ts";
import type { ModelRuns, ResidentRun } from "../../core/predict/run/resident_models.ts";
import { FIRST_STAGE_FOLDER, firstStageFile, firstStageRun } from "../engines/cascade.ts";

export interface Stages {
  readonly kept: ModelRuns;
  readonly model: Model;
  /** Of a cascade. */
  readonly firstStage?: Model;
  /** The folder of the segmentations; a hidden one in it is made for those of the first stage, and removed. */
  readonly output: string;
}

/** @throws as ModelRuns.predict */
export async function predictStages(
  { kept, model, firstStage, output }: Stages,
  run: ResidentRun,
  hooks: Required<PredictionHooks>,
): Promise<void> {
  if (!firstStage) return void await kept.predict(model, run, hooks);
  const folder = heldFolderPath(output, FIRST_STAGE_FOLDER);
  await using _held = await holdFolder(folder, "keeping the first stage's segmentations");
  const { failed } = await kept.predict(firstStage, firstStageRun(run, firstStage, folder), {
    signal: hooks.signal,
    onEvent(event) {
      // What is warned of is found by the second stage too.
      if (event.kind === "case" || event.kind === "progress" || event.kind === "failed") hooks.onEvent(event);
    },
  });
  const lost = new Set(failed.map(({ id }) => id));
  const cases = run.cases.filter(({ id }) => !lost.has(id)).map((one) => ({
    ...one,
    previousStageFile: firstStageFile(firstStage, folder, one.id),
  }));
  if (cases.length > 0) await kept.predict(model, { ...run, cases }, hooks);
}
