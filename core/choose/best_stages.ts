/** What is predicted, and in what order, to predict with what was chosen: every model once, a cascade's first stage before its second. */
import { resolveModelFolder } from "../dataset/dataset_names.ts";
import type { RootFolders } from "../dataset/environment.ts";
import { modelId } from "../dataset/model_id.ts";
import type { BestChoice } from "./inference_information.ts";

/** One model's prediction. */
export interface BestStage {
  /** TRAINER__PLANS__CONFIGURATION. */
  readonly id: string;
  readonly configuration: string;
  readonly folder: string;
  /** True: the ensemble needs its probabilities. */
  readonly isMember: boolean;
  /** The id of the stage whose segmentations it needs. */
  readonly previous?: string;
}

/** @throws UserError if a cascade's first stage is not there */
export async function bestStages({ models }: BestChoice, folders: RootFolders): Promise<BestStage[]> {
  const stages = new Map<string, BestStage>();
  const members = new Set(models.map(modelId));
  for (const model of models) {
    let previous: string | undefined;
    if (model.previousStage !== undefined) {
      const first = { ...model, configuration: model.previousStage };
      previous = modelId(first);
      const folder = await resolveModelFolder(first, folders);
      if (!stages.has(previous)) {
        const isMember = members.has(previous);
        stages.set(previous, { id: previous, configuration: first.configuration, folder, isMember });
      }
    }
    const id = modelId(model);
    if (stages.has(id)) continue;
    const { configuration, folder } = model;
    stages.set(id, { id, configuration, folder, isMember: true, ...(previous !== undefined && { previous }) });
  }
  return [...stages.values()];
}
