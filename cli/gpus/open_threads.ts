/** Threads for the GPUs that were chosen, one each. */
import { UserError } from "../../core/base/errors.ts";
import { runInThreads, type ThreadRuns } from "../../core/predict/run/predict_in_threads.ts";
import type { AdapterChoice } from "../../gpu/adapter.ts";
import { type EngineWish, mayUseCpu, type StartHooks } from "../engines/select_engine.ts";
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
  /** Cases are not to be named in lines: a service's are those of others. */
  readonly hidesCases?: boolean;
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
 * Opens all GPUs: the first one alone, as its test before the first use is that of all others of its kind. One that cannot be used is told,
 * and left out.
 * @throws UserError if none can be used, nor the CPU in their place
 */
export async function openGpuThreads(options: GpuRunsOptions): Promise<GpuRuns> {
  const { wish, gpus, maxMemory, hooks, hidesCases, onFailure } = options;
  const setting = (one: EngineWish): ThreadSetting => ({ wish: one, of: gpus.length, maxMemory });
  await using opening = new AsyncDisposableStack();
  const threads: GpuThread[] = [];
  const opened: AdapterChoice[] = [];
  const refused: UserError[] = [];
  const start = async (gpu: AdapterChoice) => {
    try {
      // Not the CPU in a GPU's place: the others go on.
      const own = setting({ ...wish, device: "gpu", allowCpu: false, gpu });
      threads.push(opening.use(await startGpuThread(gpu.name, own, hooks)));
      opened.push(gpu);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      refused.push(error);
      hooks.warn(`${gpu.label} is not used: ${error.message}`);
      onFailure?.({ gpu: gpu.name, message: error.message, cases: [], isGone: true });
    }
  };
  await start(gpus[0]);
  for (const end of await Promise.allSettled(gpus.slice(1).map(start))) {
    if (end.status === "rejected") throw end.reason;
  }
  const startCpu = () =>
    startGpuThread("cpu", { ...setting({ ...wish, device: "cpu", precision: "f32" }), of: 1 }, hooks);
  if (threads.length === 0) {
    if (!mayUseCpu(wish)) throw refused[0];
    threads.push(opening.use(await startCpu()));
  }
  const runs = runInThreads(threads, {
    precision: wish.precision ?? "f32",
    onFailure({ name }, { error, isGone }, cases) {
      const names = hidesCases ? "" : ` ${cases.join(", ")}`;
      const what = cases.length === 1 ? `case${names} goes` : `cases${names} go`;
      const end = isGone ? "; it is not used any more" : "";
      hooks.warn(
        `GPU ${name} failed${cases.length > 0 ? `, and its ${what} to another one` : ""}${end}: ${error.message}`,
      );
      onFailure?.({ gpu: name, message: error.message, cases, isGone });
    },
    ...(mayUseCpu(wish) && opened.length > 0 && {
      lastResort: () => {
        hooks.warn(`no GPU is left, the CPU goes on${wish.allowCpu ? " (--allow_cpu)" : ""}`);
        return startCpu();
      },
    }),
  });
  opening.move(); // The runs have them now.
  const precision = threads.every((thread) => thread.precision === threads[0].precision) ? threads[0].precision : "f32";
  const [{ engine }] = threads;
  return {
    runs,
    engine: opened.length > 0 ? { kind: "gpu", description: describe(opened), reason: "", precision } : engine,
    [Symbol.asyncDispose]: () => runs[Symbol.asyncDispose](),
  };
}

/** "GPU 0, NVIDIA T4 (0000:01:00.0); GPU 1, NVIDIA T4 (0000:02:00.0), WebGPU" */
function describe(gpus: readonly AdapterChoice[]): string {
  return `${gpus.map(({ label }) => label).join("; ")}, WebGPU`;
}
