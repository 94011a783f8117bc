/** Models that stay loaded on the engine that predict would choose. */
import { UserError } from "../../core/base/errors.ts";
import { join } from "../../core/base/path.ts";
import type { Model } from "../../core/predict/model/model_folder.ts";
import { keepModels, type ResidentModels } from "../../core/predict/run/resident_models.ts";
import { followEngines, type RunEngines } from "./run_engines.ts";
import { type EngineWish, selectEngine, type StartHooks } from "./select_engine.ts";

export interface Resident {
  readonly engines: RunEngines;
  /** To be disposed of before the engines. */
  readonly kept: ResidentModels;
}

/** Starts the engine. @throws UserError if the one that is wanted cannot be had */
export async function openResident({ wish, maxMemory, hooks }: {
  readonly wish: EngineWish;
  readonly maxMemory: number | undefined;
  readonly hooks: Required<StartHooks>;
}): Promise<Resident> {
  const engines = followEngines(await selectEngine(wish, hooks), wish, {
    ...hooks,
    onChange: (_chosen, why) => hooks.warn(why),
  });
  const { engine, precision, precisionCache } = engines.current;
  const kept = keepModels({
    engine,
    options: { precision, ...(precisionCache && { precisionCache }), ...(maxMemory !== undefined && { maxMemory }) },
    recover: engines.recover,
    renew: engines.renew,
  });
  return { engines, kept };
}

/**
 * @param does For the remedy: what is done with models, "serve"
 * @throws UserError for a cascade's second stage
 */
export function requireOneStage({ folder, configuration }: Model, doing: string, does: string): void {
  if (configuration.previousStage === undefined) return;
  throw new UserError({
    doing,
    file: join(folder, "plans.json"),
    problem: `${configuration.name} is the second stage of a cascade, which needs another model's segmentations`,
    remedy: `${does} a model of one stage, or run predict with -prev_stage_predictions`,
  });
}
