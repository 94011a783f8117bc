/** A training in a thread of its own, beside others. */
import { Interrupted } from "../../core/base/errors.ts";
import { fromPlainError } from "../../core/base/plain_error.ts";
import { ThreadEnded } from "../../core/base/worker_thread.ts";
import type { TrainHooks } from "../../core/train/train_request.ts";
import type { AdapterChoice } from "../../gpu/adapter.ts";
import type { EngineFlags } from "../training_request.ts";
import type { FoldRequest, FromFoldThread, ToFoldThread } from "./fold_messages.ts";

/** A training was ended by its GPU; what it had come to is in its last checkpoint. */
export class GpuFailed extends Error {
  override readonly name = "GpuFailed";

  constructor(readonly error: Error) {
    super(error.message, { cause: error });
  }
}

/** After so many failures a GPU is not used any more. */
export const MOST_FAILURES = 2;

/**
 * Trains and validates a fold on one of `count` GPUs that each train one; the cores are divided among them.
 * @returns the mean Dice of its validation
 * @throws as trainModel; {@link GpuFailed}
 */
export async function trainBeside(
  request: FoldRequest,
  gpu: AdapterChoice,
  count: number,
  { allowSoftwareGpu, threads, precision, sampleThreads = sampleThreadsOfEach(count) }: ThreadFlags,
  hooks: TrainHooks,
): Promise<number> {
  // Never the CPU in a GPU's place: the others go on.
  const flags: EngineFlags = { device: "gpu", allowCpu: false, allowSoftwareGpu, threads, precision, gpu };
  return await trainInThread({ ...request, sampleThreads }, flags, hooks);
}

type ThreadFlags = Omit<EngineFlags, "device" | "allowCpu" | "gpu"> & Pick<FoldRequest, "sampleThreads">;

async function trainInThread(
  request: FoldRequest,
  flags: EngineFlags,
  { info, warn, onEpoch, onCase, signal }: TrainHooks,
): Promise<number> {
  const worker = new Worker(new URL("./fold_worker.ts", import.meta.url), { type: "module" });
  const send = (message: ToFoldThread) => worker.postMessage(message);
  const ended = Promise.withResolvers<number>();
  worker.onmessage = ({ data }: MessageEvent<FromFoldThread>) => {
    switch (data.kind) {
      case "info":
        return info(data.line);
      case "warn":
        return warn(data.line);
      case "epoch":
        return onEpoch?.(data.progress);
      case "case":
        return onCase?.(data.done, data.of);
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
  try {
    send({ kind: "train", request, flags });
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
