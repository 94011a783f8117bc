/** Threads for the GPUs that were chosen, one each. */
import { runInThreads, type ThreadRuns } from "../../core/predict/run/predict_in_threads.ts";
import type { AdapterChoice } from "../../gpu/adapter.ts";
import type { EngineWish, StartHooks } from "../engines/select_engine.ts";
import { type GpuThread, startGpuThread } from "./gpu_thread.ts";
import type { OpenedEngine, ThreadSetting } from "./messages.ts";

export interface GpuRuns extends AsyncDisposable {
  readonly runs: ThreadRuns;
  /** All threads' engines as one, for lines and reports. */
  readonly engine: OpenedEngine;
}

export interface GpuRunsOptions {
  readonly wish: EngineWish;
  readonly gpus: readonly AdapterChoice[];
  readonly maxMemory?: number;
  readonly hooks: Required<StartHooks>;
  /** A GPU has failed, and the cases it had go elsewhere. */
  readonly onFailure?: (
    failure: {
      readonly gpu: string;
      readonly message: string;
      readonly cases: readonly string[];
      readonly isGone: boolean;
    },
  ) => void;
}

/**
 * Opens all GPUs: the first one alone, as its test before the first use is that of all others of its kind.
 * @throws UserError if one cannot be used
 */
export async function openGpuThreads(options: GpuRunsOptions): Promise<GpuRuns> {
  const { wish, gpus, maxMemory, hooks, onFailure } = options;
  const setting = (one: EngineWish): ThreadSetting => ({
    wish: one,
    of: gpus.length,
    ...(maxMemory !== undefined && { maxMemory }),
  });
  await using opening = new AsyncDisposableStack();
  const threads: GpuThread[] = [];
  // Not the CPU in a GPU's place: the others go on.
  const start = (gpu: AdapterChoice) =>
    startGpuThread(gpu.name, setting({ ...wish, device: "gpu", allowCpu: false, gpu }), hooks);
  threads.push(opening.use(await start(gpus[0])));
  const others = await Promise.allSettled(gpus.slice(1).map(start));
  for (const one of others) if (one.status === "fulfilled") threads.push(opening.use(one.value));
  for (const one of others) if (one.status === "rejected") throw one.reason;
  const mayUseCpu = (wish.allowCpu || wish.device === "auto") && wish.precision !== "f16";
  const runs = runInThreads(threads, {
    precision: wish.precision ?? "f32",
    onFailure({ name }, { error, isGone }, cases) {
      const what = cases.length === 1 ? `case ${cases[0]} goes` : `cases ${cases.join(", ")} go`;
      const end = isGone ? "; it is not used any more" : "";
      hooks.warn(
        `GPU ${name} failed${cases.length > 0 ? `, and its ${what} to another one` : ""}${end}: ${error.message}`,
      );
      onFailure?.({ gpu: name, message: error.message, cases, isGone });
    },
    ...(mayUseCpu && {
      lastResort: () => {
        hooks.warn(`no GPU is left, the CPU goes on${wish.allowCpu ? " (--allow_cpu)" : ""}`);
        return startGpuThread("cpu", { ...setting({ ...wish, device: "cpu", precision: "f32" }), of: 1 }, hooks);
      },
    }),
  });
  opening.move(); // The runs have them now.
  const precision = threads.every((thread) => thread.precision === threads[0].precision) ? threads[0].precision : "f32";
  return {
    runs,
    engine: { kind: "gpu", description: describe(gpus), reason: "", precision },
    [Symbol.asyncDispose]: () => runs[Symbol.asyncDispose](),
  };
}

/** "GPU 0, NVIDIA T4 (0000:01:00.0); GPU 1, NVIDIA T4 (0000:02:00.0), WebGPU" */
function describe(gpus: readonly AdapterChoice[]): string {
  return `${gpus.map(({ label }) => label).join("; ")}, WebGPU`;
}
