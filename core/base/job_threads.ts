/** Runs independent jobs on several threads, as many at a time as memory allows; the first error stops them all. */
import { Interrupted } from "./errors.ts";
import { createBudget } from "./memory_budget.ts";
import { type JobThread, startJobThread, ThreadEnded, type ThreadStart } from "./worker_thread.ts";

/** What the jobs are and where they run. */
export interface JobKind<Setting, Job, Result> extends ThreadStart<Setting> {
  /** What is said when the signal aborts: "stopped while ...". */
  readonly interrupted: string;
  /** The same job in the calling thread, for a single one. */
  readonly runHere: (job: Job) => Promise<Result>;
  /** Bytes the job takes while it runs. */
  readonly bytesOf: (job: Job) => number | Promise<number>;
  /** True: jobs write files, so those that run when another one fails are let finish, and their results told. */
  readonly finishesRunning?: boolean;
  /** What a job becomes that is about to run; undefined: it is left out. */
  readonly admit?: (job: Job) => Job | undefined;
  /** What comes of a job whose thread ended, as it does when its heap is full; the next job gets a new one. Without it the work ends. */
  readonly threadEnded?: (job: Job, detail: string) => Result;
}

export interface ThreadOptions {
  /** 1: in the calling thread. */
  readonly threads: number;
  /** Bytes that running jobs may take together; a job larger than that runs alone. */
  readonly memory: number;
  /** True: even a single job has a thread, so that timers of the calling one go on. */
  readonly beside?: boolean;
  readonly signal?: AbortSignal;
}

/**
 * Runs all jobs, the first ones first, and gives each result to `onResult`, one at a time, in the order in which they are done.
 * @throws the first error of a job or of `onResult`; Interrupted if `signal` aborts
 */
export async function runJobs<Setting, Job, Result>(
  kind: JobKind<Setting, Job, Result>,
  jobs: readonly Job[],
  options: ThreadOptions,
  onResult: (result: Result, job: Job) => Promise<void> | void,
): Promise<void> {
  const { signal } = options;
  const threads = Math.max(1, Math.min(options.threads, jobs.length));
  const budget = createBudget(options.memory);
  using stack = new DisposableStack();
  const lanes: Lane<Job, Result>[] = threads === 1 && !options.beside
    ? [laneHere(kind)]
    : Array.from({ length: threads }, () => stack.use(laneOnThread(kind)));
  const stop = () => lanes.forEach((lane) => lane.reject(new Interrupted(kind.interrupted)));
  signal?.addEventListener("abort", stop);
  stack.defer(() => signal?.removeEventListener("abort", stop));

  let next = 0;
  let failure: { readonly error: unknown } | undefined;
  let told: Promise<void> = Promise.resolve();
  const fail = (error: unknown) => {
    if (failure) return;
    failure = { error };
    if (!kind.finishesRunning) lanes.forEach((lane) => lane.reject(new Interrupted(kind.interrupted)));
  };
  const work = async (lane: Lane<Job, Result>): Promise<void> => {
    while (next < jobs.length && !failure) {
      const job = jobs[next++];
      // In the calling thread there is nothing beside it.
      const bytes = threads === 1 ? 0 : await kind.bytesOf(job);
      await budget.take(bytes);
      try {
        if (signal?.aborted) throw new Interrupted(kind.interrupted);
        if (failure) return;
        const admitted = kind.admit ? kind.admit(job) : job;
        if (admitted === undefined) continue;
        const result = await lane.run(admitted);
        const telling = told.then(() => failure && !kind.finishesRunning ? undefined : onResult(result, admitted));
        told = telling.catch(() => {});
        await telling;
      } catch (error) {
        fail(error);
      } finally {
        budget.give(bytes);
      }
    }
  };
  // Also what fails before a job runs, as a size that can't be read, must not leave other lanes behind.
  await Promise.all(lanes.map((lane) => work(lane).catch(fail)));
  if (failure) throw (failure as { readonly error: unknown }).error;
}

/** Does one job after the other. */
interface Lane<Job, Result> extends Disposable {
  readonly run: (job: Job) => Promise<Result>;
  /** Makes the running job fail for its caller. */
  readonly reject: (error: Error) => void;
}

function laneHere<Setting, Job, Result>(kind: JobKind<Setting, Job, Result>): Lane<Job, Result> {
  return {
    run: async (job) => {
      const result = await kind.runHere(job);
      // Signals come in only between jobs here.
      await new Promise((resolve) => setTimeout(resolve));
      return result;
    },
    reject: () => {},
    [Symbol.dispose]: () => {},
  };
}

function laneOnThread<Setting, Job, Result>(kind: JobKind<Setting, Job, Result>): Lane<Job, Result> {
  let thread: JobThread<Job, Result> | undefined = startJobThread(kind);
  return {
    run: async (job) => {
      thread ??= startJobThread(kind);
      try {
        return await thread.run(job);
      } catch (error) {
        if (!(error instanceof ThreadEnded) || !kind.threadEnded) throw error;
        thread[Symbol.dispose]();
        thread = undefined;
        return kind.threadEnded(job, error.detail);
      }
    },
    reject: (error) => thread?.reject(error),
    [Symbol.dispose]: () => thread?.[Symbol.dispose](),
  };
}
