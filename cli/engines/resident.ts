/** Models that stay loaded on the engine that predict would choose. */
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
