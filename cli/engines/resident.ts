/** Models that stay loaded on the engine that predict would choose. */
import { keepModels, type ModelRuns } from "../../core/predict/run/resident_models.ts";
import type { OpenedEngine } from "../gpus/messages.ts";
import { type GpuRunsOptions, openGpuThreads } from "../gpus/open_threads.ts";
import { openEngines } from "./run_engines.ts";

export interface Resident extends AsyncDisposable {
  /** At the moment: another one goes on where one fails. */
  readonly engine: OpenedEngine;
  readonly kept: ModelRuns;
  /** How many runs may overlap. */
  readonly places: number;
}

export interface ResidentOptions extends Omit<GpuRunsOptions, "gpus"> {
  /** Those that share the cases, where several are to. */
  readonly gpus?: GpuRunsOptions["gpus"];
}

/** Starts the engine, or those of several GPUs. @throws UserError if one that is wanted cannot be had */
export async function openResident({ gpus, ...options }: ResidentOptions): Promise<Resident> {
  const { wish, maxMemory, hooks } = options;
  if (gpus && gpus.length > 1) {
    const threads = await openGpuThreads({ ...options, gpus });
    return {
      engine: threads.engine,
      kept: threads.runs,
      places: gpus.length,
      [Symbol.asyncDispose]: () => threads[Symbol.asyncDispose](),
    };
  }
  const own = { ...wish, ...(gpus && { gpu: gpus[0] }) };
  const engines = await openEngines(own, {
    ...hooks,
    onChange: (_chosen, why) => hooks.warn(why),
  });
  const { engine, precision, precisionCache } = engines.current;
  const kept = keepModels({
    engine,
    options: { precision, ...(precisionCache && { precisionCache }), maxMemory },
    recover: engines.recover,
    renew: engines.renew,
  });
  return {
    get engine() {
      const { engine: { kind, description }, reason, precision } = engines.current;
      return { kind, description, reason, precision };
    },
    kept,
    places: 1,
    async [Symbol.asyncDispose]() {
      await kept[Symbol.asyncDispose]();
      await engines[Symbol.asyncDispose]();
    },
  };
}
