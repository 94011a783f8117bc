/** The GPUs that share the cases of a training's final validation, a thread each. */
import type { ValidationEngines } from "../../core/train/train_request.ts";
import type { AdapterChoice } from "../../gpu/adapter.ts";
import type { EngineWish } from "../engines/select_engine.ts";
import type { EngineFlags } from "../training_request.ts";
import type { NextStageWish } from "./next_stage_worker.ts";
import { type GpuRunsOptions, openGpuThreads } from "./open_threads.ts";

/** Activations are kept in f32, as where one engine validates. */
export function validateOn(
  gpus: readonly AdapterChoice[],
  { device, allowCpu, allowSoftwareGpu, threads }: Omit<EngineFlags, "precision" | "gpu">,
  options: Pick<GpuRunsOptions, "maxMemory" | "hooks" | "onFailure">,
): ValidationEngines {
  const wish: EngineWish = { device, allowCpu, allowSoftwareGpu, threads, precision: "f32" };
  return {
    async open(cases) {
      const opened = await openGpuThreads({ ...options, wish, gpus: gpus.slice(0, cases) });
      const { runs, engine: { description } } = opened;
      return { runs, description, [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose]() };
    },
    nextStages: (setting) =>
      gpus.map((gpu) => ({
        name: gpu.label,
        does: `predicts the next stage's cases on ${gpu.label}`,
        startWorker: () => new Worker(new URL("./next_stage_worker.ts", import.meta.url), { type: "module" }),
        // Never the CPU in a GPU's place: the others go on, and what is left is the program's own.
        setting: { ...setting, wish: { ...wish, device: "gpu", allowCpu: false, gpu } } satisfies NextStageWish,
      })),
  };
}
