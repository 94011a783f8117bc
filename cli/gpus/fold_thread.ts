/** A training in a thread of its own, beside others. */
import { fromPlainError } from "../../core/base/plain_error.ts";
import { startJobThread, ThreadEnded } from "../../core/base/worker_thread.ts";
import type { ReadingLane } from "../../core/predict/run/run_memory.ts";
import { hangs } from "../../core/train/parallel/share_threads.ts";
import { watchSilence } from "../../core/train/parallel/silence.ts";
import type { TrainHooks } from "../../core/train/train_request.ts";
import type { AdapterChoice } from "../../gpu/adapter.ts";
import type { EngineFlags } from "../training_request.ts";
import type { FoldEnd, FoldJob, FoldNews, FoldRequest } from "./fold_messages.ts";

/** A training was ended by its GPU; what it had come to is in its last checkpoint. */
export class GpuFailed extends Error {
  override readonly name = "GpuFailed";

  /** @param hangs Its driver never came back: neither the GPU nor the fold, which its thread still has, is of use to this process */
  constructor(readonly error: Error, readonly hangs = false) {
    super(error.message, { cause: error });
  }
}

/** After so many failures a GPU is not used any more. */
export const MOST_FAILURES = 2;
/** A fold that so many GPUs have failed at is given up. */
export const MOST_LOST = 2;
/** A thread that says nothing for so many seconds is held by a GPU that hangs; nothing else holds one for more than minutes. */
const PATIENCE_SECONDS = 30 * 60;

/** A training on a GPU of its own. */
export interface FoldThread {
  readonly request: FoldRequest;
  readonly gpu: AdapterChoice;
  readonly flags: ThreadFlags;
  /** How many train at a time, and what the process has beside them: cores and memory are divided among them. */
  readonly lane: ReadingLane;
}

type ThreadFlags = Omit<EngineFlags, "device" | "allowCpu" | "gpu"> & Pick<FoldRequest, "sampleThreads">;

/**
 * Trains and validates a fold beside others.
 * @returns the mean Dice of its validation
 * @throws as trainModel; {@link GpuFailed}
 */
export async function trainBeside(
  { request, gpu, flags, lane }: FoldThread,
  { info, warn, onEpoch, onCase, onSave, signal }: TrainHooks,
  patienceSeconds = PATIENCE_SECONDS,
): Promise<number> {
  const { allowSoftwareGpu, threads, precision, sampleThreads = sampleThreadsOfEach(lane.of) } = flags;
  const thread = startJobThread<undefined, FoldJob, FoldEnd, FoldNews>({
    does: "trains a fold",
    startWorker: () => new Worker(new URL("./fold_worker.ts", import.meta.url), { type: "module" }),
    setting: undefined,
  });
  const watched = { answers: 0, waiting: thread.waiting };
  const onNews = (news: FoldNews) => {
    watched.answers++;
    switch (news.kind) {
      case "info":
        return info(news.line);
      case "warn":
        return warn(news.line);
      case "epoch":
        return onEpoch?.(news.progress);
      case "case":
        return onCase?.(news.done, news.of);
      case "saved":
        return onSave?.();
    }
  };
  signal?.addEventListener("abort", thread.abort);
  using _watched = watchSilence(
    [watched],
    patienceSeconds,
    () => thread.reject(new GpuFailed(hangs(gpu.label, patienceSeconds), true)),
  );
  try {
    // Never the CPU in a GPU's place: the others go on.
    const own: EngineFlags = { device: "gpu", allowCpu: false, allowSoftwareGpu, threads, precision, gpu };
    const training = thread.run({ request: { ...request, lane, sampleThreads }, flags: own }, [], onNews);
    if (signal?.aborted) thread.abort();
    const end = await training;
    if (end.kind === "failed") throw new GpuFailed(fromPlainError(end.error));
    return end.dice;
  } catch (error) {
    throw error instanceof ThreadEnded ? new GpuFailed(error) : error;
  } finally {
    signal?.removeEventListener("abort", thread.abort);
    thread[Symbol.dispose]();
  }
}

/** Samples have to be there in time for each GPU, and more threads than a dozen are of no use to one. */
function sampleThreadsOfEach(gpus: number): number {
  return Math.max(1, Math.min(12, Math.floor((navigator.hardwareConcurrency - 2) / gpus)));
}
