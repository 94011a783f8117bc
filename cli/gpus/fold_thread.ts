/** A training in a thread of its own, beside others. */
import { Interrupted } from "../../core/base/errors.ts";
import { fromPlainError } from "../../core/base/plain_error.ts";
import { ThreadEnded } from "../../core/base/worker_thread.ts";
import type { ReadingLane } from "../../core/predict/run/run_memory.ts";
import { hangs } from "../../core/train/parallel/share_threads.ts";
import { watchSilence } from "../../core/train/parallel/silence.ts";
import type { TrainHooks } from "../../core/train/train_request.ts";
import type { AdapterChoice } from "../../gpu/adapter.ts";
import type { EngineFlags } from "../training_request.ts";
import type { FoldRequest, FromFoldThread, ToFoldThread } from "./fold_messages.ts";

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
  const worker = new Worker(new URL("./fold_worker.ts", import.meta.url), { type: "module" });
  const send = (message: ToFoldThread) => worker.postMessage(message);
  const ended = Promise.withResolvers<number>();
  const thread = { answers: 0, waiting: () => 1 };
  worker.onmessage = ({ data }: MessageEvent<FromFoldThread>) => {
    thread.answers++;
    switch (data.kind) {
      case "info":
        return info(data.line);
      case "warn":
        return warn(data.line);
      case "epoch":
        return onEpoch?.(data.progress);
      case "case":
        return onCase?.(data.done, data.of);
      case "saved":
        return onSave?.();
      case "done":
        return ended.resolve(data.dice);
      case "error": {
        const error = fromPlainError(data.error);
        ended.reject(data.isEngines && !(error instanceof Interrupted) ? new GpuFailed(error) : error);
      }
    }
  };
  worker.onerror = (event) => {
    event.preventDefault();
    ended.reject(new GpuFailed(new ThreadEnded("trains a fold", event.message)));
  };
  const abort = () => send({ kind: "abort" });
  signal?.addEventListener("abort", abort);
  using _watched = watchSilence(
    [thread],
    patienceSeconds,
    () => ended.reject(new GpuFailed(hangs(gpu.label, patienceSeconds), true)),
  );
  try {
    // Never the CPU in a GPU's place: the others go on.
    const own: EngineFlags = { device: "gpu", allowCpu: false, allowSoftwareGpu, threads, precision, gpu };
    send({ kind: "train", request: { ...request, lane, sampleThreads }, flags: own });
    if (signal?.aborted) abort();
    return await ended.promise;
  } finally {
    signal?.removeEventListener("abort", abort);
    worker.terminate();
  }
}

/** Samples have to be there in time for each GPU, and more threads than a dozen are of no use to one. */
function sampleThreadsOfEach(gpus: number): number {
  return Math.max(1, Math.min(12, Math.floor((navigator.hardwareConcurrency - 2) / gpus)));
}
