/** Where case jobs run: in a worker beside the network, or in the calling thread. */
import { startJobThread, type ThreadStart } from "../../base/worker_thread.ts";
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

const CASES: ThreadStart<undefined> = {
  does: "reads and writes cases",
  startWorker: () => new Worker(new URL("./case_worker.ts", import.meta.url), { type: "module" }),
  setting: undefined,
};

function workerPool(signal?: AbortSignal): CasePool {
  const thread = startJobThread<undefined, CaseJob, PreparedCase | ExportedCase>(CASES);
  if (signal?.aborted) thread.abort();
  signal?.addEventListener("abort", thread.abort);

  async function run<K extends keyof JobResults>(job: CaseJob & { readonly kind: K }): Promise<JobResults[K]> {
    return await thread.run(job, transferables(job)) as JobResults[K];
  }

  return {
    prepare: (job) => run(job),
    export: (job) => run(job),
    async [Symbol.asyncDispose]() {
      signal?.removeEventListener("abort", thread.abort);
      await thread.settled();
      thread[Symbol.dispose]();
    },
  };
}
