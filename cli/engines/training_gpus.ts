/** The GPUs of `train -num_gpus`, and the threads that train on them. */
import { UsageError } from "../../core/base/errors.ts";
import type { TrainingEngine } from "../../core/engine/training.ts";
import { type ParallelTraining, startParallelTraining } from "../../core/train/parallel/parallel_training.ts";
import { type AdapterChoice, showFirst } from "../../gpu/adapter.ts";
import { ALIKE_REMEDY, gpuLines } from "./choose_gpus.ts";
import { openableGpus } from "./gpu_probe.ts";
import { visibleGpus } from "./gpu_variables.ts";
import { type GpuList, listGpus } from "./list_gpus.ts";
import type { EngineWish } from "./select_engine.ts";

/**
 * The first `count` GPUs of this machine, or of those that CUDA_VISIBLE_DEVICES and its like name. From then on the first is what the
 * driver shows first, in this thread too.
 * @throws UsageError if there are not so many
 */
export async function trainingGpus(count: number, allowSoftware: boolean): Promise<readonly AdapterChoice[]> {
  const list = await listGpus();
  const visible = visibleGpus(list.gpus, (name) => Deno.env.get(name), await openableGpus());
  const gpus = firstGpus(count, { ...list, gpus: visible }, allowSoftware);
  // Threads only change their values later: new variables would move the others from under whoever reads them.
  showFirst(gpus[0]);
  return gpus;
}

/** A software adapter, where there is nothing else, is all of them at once. */
export function firstGpus(count: number, list: GpuList, allowSoftware: boolean): readonly AdapterChoice[] {
  const real = list.gpus.filter(({ software }) => !software).map(({ choice }) => choice);
  if (real.length >= count) return real.slice(0, count);
  const [software] = list.gpus.filter((gpu) => gpu.software);
  if (real.length === 0 && software && allowSoftware) return Array.from({ length: count }, () => software.choice);
  const seen = real.length === 0 ? "there is none that can be used" : `${real.length} can be used`;
  const found = list.gpus.length === 0 ? "" : ` (${gpuLines({ ...list, alike: [] }).join("; ")})`;
  const remedy = list.alike.length > 0 ? `to use those of the same model too: ${ALIKE_REMEDY}` : "see `nnunet doctor`";
  throw new UsageError(`argument -num_gpus: ${count} GPUs are asked for, and ${seen}${found}; ${remedy}`);
}

/** What the thread of a GPU is to open. */
export type ShareWish = Pick<EngineWish, "allowSoftwareGpu" | "precision" | "gpu">;

/** Opens them, each in a thread of its own. @throws UserError if one cannot be used */
export async function openShares(
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
