/**
 * Runs independent jobs on several threads, as many at a time as memory allows; the first error stops them all. Few small jobs are done
 * in the calling thread: starting others takes longer.
 */
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
  /** True: small jobs are begun in the calling thread, and all done there if they are few. Otherwise threads are started at once. */
  readonly beginsHere?: boolean;
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
  const lanes: Lane<Job, Result>[] = [];
  const stop = () => lanes.forEach((lane) => lane.reject(new Interrupted(kind.interrupted)));
  signal?.addEventListener("abort", stop);
  stack.defer(() => signal?.removeEventListener("abort", stop));

  let next = 0;
  let failure: { readonly error: unknown } | undefined;
  let told: Promise<void> = Promise.resolve();
  const fail = (error: unknown) => {
    if (failure) return;
    failure = { error };
    if (!kind.finishesRunning) stop();
  };
  const run = async (lane: Lane<Job, Result>, job: Job): Promise<void> => {
    try {
      if (signal?.aborted) throw new Interrupted(kind.interrupted);
      if (failure) return;
      const admitted = kind.admit ? kind.admit(job) : job;
      if (admitted === undefined) return;
      const result = await lane.run(admitted);
      const telling = told.then(() => failure && !kind.finishesRunning ? undefined : onResult(result, admitted));
      told = telling.catch(() => {});
      await telling;
    } catch (error) {
      fail(error);
    }
  };
  const work = async (lane: Lane<Job, Result>): Promise<void> => {
    while (next < jobs.length && !failure) {
      const job = jobs[next++];
      const bytes = await kind.bytesOf(job);
      await budget.take(bytes);
      await run(lane, job).finally(() => budget.give(bytes));
    }
  };
  // There is nothing beside a job here, so its size is asked for only if others may be done elsewhere.
  const workHere = async (): Promise<void> => {
    const lane = laneHere(kind);
    const start = performance.now();
    while (next < jobs.length && !failure) {
      if (threads > 1) {
        if (isWorthThreads(performance.now() - start, next, jobs.length)) return;
        if (await kind.bytesOf(jobs[next]) > SMALL_JOB) return;
      }
      await run(lane, jobs[next++]);
    }
  };
  // Also what fails before a job runs, as a size that can't be read, must not leave other lanes behind.
  if (!options.beside && (threads === 1 || kind.beginsHere)) await workHere().catch(fail);
  for (let i = 0; i < Math.min(threads, jobs.length - next) && !failure; i++) {
    lanes.push(stack.use(laneOnThread(kind)));
  }
  await Promise.all(lanes.map((lane) => work(lane).catch(fail)));
  if (failure) throw (failure as { readonly error: unknown }).error;
}

/** Bytes of a job that takes some hundredths of a second. */
const SMALL_JOB = 24 * 2 ** 20;
/** Milliseconds that threads take to be of use: to start, to load their modules and to have them compiled. */
const THREADS_START = 150;

/** Whether jobs that are left take so long that threads gain more than starting them takes, after `done` of `count` took so long. */
function isWorthThreads(milliseconds: number, done: number, count: number): boolean {
  return milliseconds >= THREADS_START / 2 && milliseconds / done * (count - done) > 2 * THREADS_START;
}

/** Does one job after the other. */
interface Lane<Job, Result> extends Disposable {
  readonly run: (job: Job) => Promise<Result>;
  /** Makes the running job fail for its caller. */
  readonly reject: (error: Error) => void;
}

/** Milliseconds after which signals are looked for. */
const SIGNALS_EVERY = 50;

function laneHere<Setting, Job, Result>(kind: JobKind<Setting, Job, Result>): Lane<Job, Result> {
  let waited = performance.now();
  return {
    run: async (job) => {
      const result = await kind.runHere(job);
      // Signals come in only between jobs here. A timer takes a millisecond or two, which is as long as a small job.
      if (performance.now() - waited >= SIGNALS_EVERY) {
        await new Promise((resolve) => setTimeout(resolve));
        waited = performance.now();
      }
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
