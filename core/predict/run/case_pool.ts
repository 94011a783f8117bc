/** Where case jobs run: in a worker beside the network, or in the calling thread. */
import { allocationError, outOfMemory } from "../../base/allocation.ts";
import { UserError } from "../../base/errors.ts";
import { startJobThread, ThreadEnded, type ThreadStart } from "../../base/worker_thread.ts";
import {
  type CaseJob,
  DOING,
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
  const start = () => startJobThread<undefined, CaseJob, PreparedCase | ExportedCase>(CASES);
  let thread = start();
  const abort = () => thread.abort();
  if (signal?.aborted) abort();
  signal?.addEventListener("abort", abort);

  async function run<K extends keyof JobResults>(job: CaseJob & { readonly kind: K }): Promise<JobResults[K]> {
    const own = thread;
    try {
      return await own.run(job, transferables(job)) as JobResults[K];
    } catch (error) {
      if (!(error instanceof ThreadEnded)) throw allocationError(error, { doing: DOING[job.kind], caseId: job.id });
      // Its heap was full, or it had no memory to begin with; the next jobs get a new one.
      if (own === thread) {
        own[Symbol.dispose]();
        thread = start();
        if (signal?.aborted) abort();
      }
      throw new UserError(outOfMemory({ doing: DOING[job.kind], caseId: job.id }, error.detail));
    }
  }

  return {
    prepare: (job) => run(job),
    export: (job) => run(job),
    async [Symbol.asyncDispose]() {
      signal?.removeEventListener("abort", abort);
      await thread.settled();
      thread[Symbol.dispose]();
    },
  };
}
