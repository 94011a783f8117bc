/** The GPUs of `train -num_gpus`, and the threads that train on them. */
import { messageOf, UsageError } from "../../core/base/errors.ts";
import type { TrainingEngine } from "../../core/engine/training.ts";
import { type ParallelTraining, startParallelTraining } from "../../core/train/parallel/parallel_training.ts";
import type { ShareEngines } from "../../core/train/parallel/share_jobs.ts";
import type { TrainingShares } from "../../core/train/train_request.ts";
import type { AdapterChoice } from "../../gpu/adapter.ts";
import { ALIKE_REMEDY, gpuLines } from "./choose_gpus.ts";
import { openableGpus } from "./gpu_probe.ts";
import { visibleGpus } from "./gpu_variables.ts";
import { type GpuList, listGpus } from "./list_gpus.ts";
import type { EngineWish } from "./select_engine.ts";
import { type EngineOpener, followEngines, MOST_LOSSES } from "./training_engines.ts";

/**
 * The first `count` GPUs of this machine, or of those that CUDA_VISIBLE_DEVICES and its like name.
 * @throws UsageError if there are not so many
 */
export async function trainingGpus(count: number, allowSoftware: boolean): Promise<readonly AdapterChoice[]> {
  const list = await listGpus();
  const visible = visibleOf(list, await openableGpus());
  return firstGpus(count, { ...list, gpus: visible }, allowSoftware, visible !== list.gpus);
}

function visibleOf({ gpus }: GpuList, files: readonly string[] | null) {
  try {
    return visibleGpus(gpus, (name) => Deno.env.get(name), files);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw new UsageError(`argument -num_gpus: ${error.message}`);
  }
}

/**
 * A software adapter, where there is nothing else, is all of them at once.
 * @param isNamed The list is of those that variables name: of a software adapter as many as they do
 */
export function firstGpus(
  count: number,
  list: GpuList,
  allowSoftware: boolean,
  isNamed = false,
): readonly AdapterChoice[] {
  const real = list.gpus.filter(({ software }) => !software).map(({ choice }) => choice);
  if (real.length >= count) return real.slice(0, count);
  const software = allowSoftware ? list.gpus.filter((gpu) => gpu.software) : [];
  if (real.length === 0 && software.length > 0 && (!isNamed || software.length >= count)) {
    return Array.from({ length: count }, () => software[0].choice);
  }
  const usable = real.length > 0 ? real.length : software.length;
  const seen = usable === 0 ? "there is none that can be used" : `${usable} can be used`;
  const found = list.gpus.length === 0 ? "" : ` (${gpuLines({ ...list, alike: [] }).join("; ")})`;
  const remedy = list.alike.length > 0 ? `to use those of the same model too: ${ALIKE_REMEDY}` : "see `nnunet doctor`";
  throw new UsageError(`argument -num_gpus: ${count} GPUs are asked for, and ${seen}${found}; ${remedy}`);
}

/** What the thread of a GPU is to open. */
export interface ShareWish extends Pick<EngineWish, "allowSoftwareGpu" | "precision" | "gpu"> {
  /** A device was lost before: kernels are tried one by one. */
  readonly search?: boolean;
}

/** In the thread: its GPU, never the CPU in its place, which the others would wait for in every step. */
export function shareEngines({ search, ...wish }: ShareWish): ShareEngines {
  const engines = followEngines({ ...wish, device: "gpu", allowCpu: false }, { search });
  return {
    open: engines.openEngine,
    recover: async (error, attempts) => await engines.recover(error, attempts) !== undefined,
    isLost: engines.wasLost,
  };
}

/** What `-num_gpus` adds to a training's request. */
export type SharedTraining = EngineOpener & { readonly shares: TrainingShares };

/**
 * A training that GPUs share. Where the device of one is lost, all are opened once more and look for the kernel that it was lost by.
 * @param planner Opens the engine that plans and validates
 */
export function sharedTraining(
  planner: EngineOpener,
  gpus: readonly AdapterChoice[],
  wish: Omit<ShareWish, "gpu" | "search">,
): SharedTraining {
  let last: ParallelTraining | undefined;
  let search = false;
  return {
    openEngine: planner.openEngine,
    async recover(error, attempts) {
      if (!last?.wasLost) return await planner.recover?.(error, attempts);
      if (attempts >= MOST_LOSSES) return undefined;
      search = true;
      return `a GPU failed, and all of them are tried again, kernel by kernel: ${messageOf(error)}`;
    },
    shares: {
      count: gpus.length,
      async open(planner) {
        last = undefined;
        return (last = await openShares(planner, gpus, { ...wish, search }));
      },
    },
  };
}

/** Opens them, each in a thread of its own. @throws UserError if one cannot be used */
async function openShares(
  planner: TrainingEngine,
  gpus: readonly AdapterChoice[],
  wish: Omit<ShareWish, "gpu">,
): Promise<ParallelTraining> {
  const starts = gpus.map((gpu) => ({
    name: gpu.label,
    does: `trains on ${gpu.label}`,
    startWorker: () => new Worker(new URL("./share_worker.ts", import.meta.url), { type: "module" }),
    setting: { ...wish, gpu } satisfies ShareWish,
  }));
  return await startParallelTraining(planner, starts);
}
