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
  /** Starts a thread whose script calls {@link answerJobs}; here, so that the script's URL is a static text bundlers find. */
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
    const thread = startThread(kind, signal);
    stack.use(thread);
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

interface Thread<Job, Result> extends Disposable {
  readonly run: (job: Job) => Promise<Result>;
}

function startThread<Job, Result>(kind: JobKind<Job, Result>, signal?: AbortSignal): Thread<Job, Result> {
  const worker = kind.startWorker();
  let pending: PromiseWithResolvers<Result> | undefined;
  const stop = () => pending?.reject(new Interrupted(kind.interrupted));
  worker.onmessage = ({ data }: MessageEvent<Reply<Result>>) => {
    if (data.kind === "result") pending?.resolve(data.result);
    else pending?.reject(fromPlainError(data.error));
  };
  worker.onerror = (event) => {
    event.preventDefault();
    pending?.reject(new Error(`A thread that ${kind.does} ended: ${event.message}`));
  };
  signal?.addEventListener("abort", stop);
  return {
    run: (job) => {
      pending = Promise.withResolvers<Result>();
      worker.postMessage(job);
      return pending.promise;
    },
    [Symbol.dispose]: () => {
      signal?.removeEventListener("abort", stop);
      worker.terminate();
    },
  };
}
