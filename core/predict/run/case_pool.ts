/** Where case jobs run: in a worker beside the network, or in the calling thread. */
import { fromPlainError } from "../../base/plain_error.ts";
import {
  type CaseJob,
  type ExportedCase,
  type ExportJob,
  type JobResults,
  type PreparedCase,
  type PrepareJob,
  runCaseJob,
  transferables,
} from "./case_jobs.ts";
import type { WorkerReply, WorkerRequest } from "./case_messages.ts";

/** Runs case jobs in the order they are given; arrays of a job belong to it afterwards. Disposing waits for what is running. */
export interface CasePool extends AsyncDisposable {
  prepare(job: PrepareJob): Promise<PreparedCase>;
  export(job: ExportJob): Promise<ExportedCase>;
}

/** @param signal Aborting it makes running and waiting jobs fail with {@link Interrupted}, their hidden files removed. */
export function createCasePool(overlap: boolean, signal?: AbortSignal): CasePool {
  return overlap ? workerPool(signal) : inlinePool(signal);
}

function inlinePool(signal?: AbortSignal): CasePool {
  return {
    prepare: (job) => runCaseJob(job, signal) as Promise<PreparedCase>,
    export: (job) => runCaseJob(job, signal) as Promise<ExportedCase>,
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

interface PendingJob {
  readonly resolve: (result: PreparedCase | ExportedCase) => void;
  readonly reject: (error: unknown) => void;
  readonly settled: Promise<unknown>;
}

function workerPool(signal?: AbortSignal): CasePool {
  const worker = new Worker(new URL("./case_worker.ts", import.meta.url), { type: "module" });
  const pending = new Map<number, PendingJob>();
  let count = 0;
  let failure: Error | undefined;
  const send = (request: WorkerRequest, transfer: ArrayBuffer[] = []) => worker.postMessage(request, transfer);
  const onAbort = () => send({ kind: "abort" });

  worker.onmessage = ({ data }: MessageEvent<WorkerReply>) => {
    const job = pending.get(data.number);
    pending.delete(data.number);
    if (data.kind === "result") job?.resolve(data.result);
    else job?.reject(fromPlainError(data.error));
  };
  worker.onerror = (event) => {
    event.preventDefault();
    failure = new Error(`The thread that reads and writes cases ended: ${event.message}`);
    for (const job of pending.values()) job.reject(failure);
    pending.clear();
  };
  if (signal?.aborted) onAbort();
  signal?.addEventListener("abort", onAbort);

  function run<K extends keyof JobResults>(job: CaseJob & { readonly kind: K }): Promise<JobResults[K]> {
    if (failure) return Promise.reject(failure);
    const number = count++;
    const { promise, resolve, reject } = Promise.withResolvers<PreparedCase | ExportedCase>();
    pending.set(number, { resolve, reject, settled: promise.catch(() => {}) });
    send({ kind: "job", number, job }, transferables(job));
    return promise as Promise<JobResults[K]>;
  }

  return {
    prepare: (job) => run(job),
    export: (job) => run(job),
    async [Symbol.asyncDispose]() {
      signal?.removeEventListener("abort", onAbort);
      await Promise.all([...pending.values()].map((job) => job.settled));
      worker.terminate();
    },
  };
}
