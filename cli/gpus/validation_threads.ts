/** The GPUs that share the cases of a training's final validation, a thread each. */
import type { ValidationEngines } from "../../core/train/train_request.ts";
import type { AdapterChoice } from "../../gpu/adapter.ts";
import type { EngineFlags } from "../training_request.ts";
import { type GpuRunsOptions, openGpuThreads } from "./open_threads.ts";

/** Activations are kept in f32, as where one engine validates. */
export function validateOn(
  gpus: readonly AdapterChoice[],
  { device, allowCpu, allowSoftwareGpu, threads }: Omit<EngineFlags, "precision" | "gpu">,
  options: Pick<GpuRunsOptions, "maxMemory" | "hooks" | "onFailure">,
): ValidationEngines {
  return {
    async open(cases) {
      const wish = { device, allowCpu, allowSoftwareGpu, threads, precision: "f32" } as const;
      const opened = await openGpuThreads({ ...options, wish, gpus: gpus.slice(0, cases) });
      const { runs, engine: { description } } = opened;
      return { runs, description, [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose]() };
    },
  };
}
