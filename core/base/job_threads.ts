/** Runs independent jobs on several threads, as many at a time as memory allows; the first error stops them all. */
import { Interrupted } from "./errors.ts";
import { createBudget } from "./memory_budget.ts";
import { fromPlainError, type PlainError, toPlainError } from "./plain_error.ts";

/** What the jobs are and where they run. */
export interface JobKind<Job, Result> {
  /** For messages: "reads training cases". */
  readonly does: string;
  /** What is said when the signal aborts: "stopped while ...". */
  readonly interrupted: string;
  /** Starts a worker whose script calls {@link answerJobs}; here, so that the script's URL is a static text bundlers find. */
  readonly startWorker: () => Worker;
  /** The same job in the calling thread, for a single one. */
  readonly runHere: (job: Job) => Promise<Result>;
  /** Bytes the job takes while it runs. */
  readonly bytesOf: (job: Job) => Promise<number>;
}

export interface ThreadOptions {
  /** 1: in the calling thread. */
  readonly threads: number;
  /** Bytes that running jobs may take together; a job larger than that runs alone. */
  readonly memory: number;
  readonly signal?: AbortSignal;
}

type Reply<Result> = { readonly kind: "result"; readonly result: Result } | {
  readonly kind: "error";
  readonly error: PlainError;
};

/**
 * Runs all jobs, the first ones first, and gives each result to `onResult`, one at a time, in the order in which they are done.
 * @throws the first error of a job; Interrupted if `signal` aborts
 */
export async function runJobs<Job, Result>(
  kind: JobKind<Job, Result>,
  jobs: readonly Job[],
  options: ThreadOptions,
  onResult: (result: Result, job: Job) => Promise<void> | void,
): Promise<void> {
  const { signal } = options;
  const threads = Math.max(1, Math.min(options.threads, jobs.length));
  const budget = createBudget(options.memory);
  let next = 0;
  let failed = false;
  let delivered: Promise<void> = Promise.resolve();

  const lane = async (run: (job: Job) => Promise<Result>): Promise<void> => {
    while (next < jobs.length && !failed) {
      const job = jobs[next++];
      // In the calling thread there is nothing beside it.
      const bytes = threads === 1 ? 0 : await kind.bytesOf(job);
      await budget.take(bytes);
      try {
        if (signal?.aborted) throw new Interrupted(kind.interrupted);
        const result = await run(job);
        delivered = delivered.then(() => onResult(result, job));
        await delivered;
      } catch (error) {
        failed = true;
        throw error;
      } finally {
        budget.give(bytes);
      }
    }
  };
  if (threads === 1) return await lane(kind.runHere);
  using stack = new DisposableStack();
  const lanes = Array.from({ length: threads }, () => {
    const thread = stack.use(startJobThread<Job, Result>(kind.does, kind.startWorker));
    const stop = () => thread.reject(new Interrupted(kind.interrupted));
    signal?.addEventListener("abort", stop);
    stack.defer(() => signal?.removeEventListener("abort", stop));
    return lane(thread.run);
  });
  await Promise.all(lanes);
}

/** A worker's own side, its `self`; the type of the library is known in workers' scripts only. */
export interface JobPort {
  onmessage: ((event: MessageEvent) => void) | null;
  postMessage(message: unknown, transfer?: ArrayBuffer[]): void;
}

/** What a worker's script calls, once. */
export function answerJobs<Job, Result>(
  port: JobPort,
  run: (job: Job) => Promise<Result>,
  transferablesOf: (result: Result) => ArrayBuffer[] = () => [],
): void {
  port.onmessage = async ({ data }: MessageEvent<Job>) => {
    try {
      const result = await run(data);
      port.postMessage({ kind: "result", result } satisfies Reply<Result>, transferablesOf(result));
    } catch (error) {
      port.postMessage({ kind: "error", error: toPlainError(error) } satisfies Reply<Result>);
    }
  };
}

/** A thread that runs one job at a time; disposing ends it at once. */
export interface JobThread<Job, Result> extends Disposable {
  readonly run: (job: Job) => Promise<Result>;
  /** Makes the running job fail for its caller; the thread goes on with it. */
  readonly reject: (error: Error) => void;
}

/**
 * Starts a thread whose script calls {@link answerJobs}.
 * @param does For messages: "reads training cases".
 */
export function startJobThread<Job, Result>(does: string, startWorker: () => Worker): JobThread<Job, Result> {
  const worker = startWorker();
  let pending: PromiseWithResolvers<Result> | undefined;
  worker.onmessage = ({ data }: MessageEvent<Reply<Result>>) => {
    if (data.kind === "result") pending?.resolve(data.result);
    else pending?.reject(fromPlainError(data.error));
  };
  worker.onerror = (event) => {
    event.preventDefault();
    pending?.reject(new Error(`A thread that ${does} ended: ${event.message}`));
  };
  return {
    run: (job) => {
      pending = Promise.withResolvers<Result>();
      worker.postMessage(job);
      return pending.promise;
    },
    reject: (error) => pending?.reject(error),
    [Symbol.dispose]: () => worker.terminate(),
  };
}
