/**
 * The queue: jobs in the order they were accepted, one after the other, or as many at a time as there are GPUs for them. A job that a
 * service was at when it was killed is begun again, once: one that was being done at two such ends may be what ended them.
 */
import { Interrupted, messageOf, UserError } from "../../core/base/errors.ts";
import { givenUp, isFinished, type Job, type JobError, type JobRecord, type JobView, viewOf } from "./job.ts";
import type { JobStore } from "./job_store.ts";

/** How a job has ended, for its record. */
export type Outcome =
  | Pick<JobRecord, "labels" | "seconds" | "results"> & { readonly state: "done" }
  | { readonly state: "failed"; readonly error: JobError };

export interface JobHooks {
  readonly onProgress: (progress: Job["progress"], secondsLeft: number | undefined) => void;
  readonly signal: AbortSignal;
  /** The job that waits the longest at the moment. */
  readonly next: () => JobRecord | undefined;
}

/** Does a job. @throws Interrupted when the signal is aborted; anything else is a defect */
export type DoJob = (record: JobRecord, hooks: JobHooks) => Promise<Outcome>;

export interface QueueOptions {
  /** Jobs that may wait. */
  readonly limit: number;
  /** Jobs that are done at a time. Default 1. */
  readonly places?: number;
  /** Finished jobs are kept for so long. */
  readonly keepMs: number;
  readonly onEnd: (record: JobRecord) => void;
  readonly onDefect: (error: unknown, record: JobRecord) => void;
}

export interface JobQueue {
  get(id: string): JobView | undefined;
  list(): readonly JobView[];
  /** The record of a job, for its results. */
  record(id: string): JobRecord | undefined;
  readonly waiting: number;
  /** True while as many jobs wait as may. */
  readonly isFull: boolean;
  /** A place for the job that the store is about to get under this id, kept until it is disposed of; undefined if there is none. */
  place(id: string): Disposable | undefined;
  /** Takes a job that the store has got. */
  added(id: string): JobView;
  /** Ends a job that has not ended, or removes one that has. @returns the job as it is now; undefined if it was removed */
  cancel(id: string): Promise<JobView | undefined>;
  /** Calls `listener` whenever the job changes, until it is removed or the listener disposed. */
  watch(id: string, listener: () => void): Disposable;
  /** Jobs until it is stopped. */
  run(): Promise<void>;
  /** Running jobs may go on for so long, then they are handed back; `run` ends. */
  stop(graceMs: number): void;
  /** Gives running jobs to the next service, without waiting for them. */
  handBack(): Promise<void>;
}

/** Ends of the service that a job may be at. */
const MOST_ATTEMPTS = 2;
const EXPIRY_MS = 60_000;

export async function openJobQueue(store: JobStore, work: DoJob, options: QueueOptions): Promise<JobQueue> {
  const listeners = new Map<string, Set<() => void>>();
  let wake = Promise.withResolvers<void>();
  let isStopping = false;
  /** Ids of jobs that the store may not have yet. */
  const awaited = new Set<string>();
  const running = new Map<Job, { readonly abort: AbortController; isCancelled: boolean }>();
  for (const job of store.jobs.values()) await takeUp(job, store);

  const waitingJobs = () => [...store.jobs.values()].filter(({ record }) => record.state === "queued");
  const isFull = () => {
    const coming = [...awaited].filter((id) => !store.jobs.has(id));
    return waitingJobs().length + coming.length >= options.limit;
  };
  const tell = (id: string) => listeners.get(id)?.forEach((listener) => listener());

  function viewOfJob(job: Job): JobView {
    const position = job.record.state === "queued" ? waitingJobs().indexOf(job) + 1 : undefined;
    return viewOf(job, position);
  }

  /** @param after Done before anyone is told */
  async function change(job: Job, fields: Partial<JobRecord>, after?: () => Promise<void>): Promise<void> {
    job.record = { ...job.record, ...fields };
    try {
      await store.save(job);
    } catch (error) {
      // A full disk: it is right in memory, and the next service does it again.
      options.onDefect(error, job.record);
    }
    await after?.().catch((error) => options.onDefect(error, job.record));
    tell(job.record.id);
    if (fields.state !== undefined) { for (const { record } of waitingJobs()) tell(record.id); }
  }

  async function end(job: Job, fields: Partial<JobRecord>): Promise<void> {
    // Whoever is told that it has ended finds its room free.
    await change(job, { ...fields, finished: new Date().toISOString() }, () => store.dropImages(job));
    options.onEnd(job.record);
  }

  async function workOn(job: Job): Promise<void> {
    const own = { abort: new AbortController(), isCancelled: false };
    running.set(job, own);
    const attempts = job.record.attempts + 1;
    await change(job, { state: "running", attempts, started: new Date().toISOString() });
    try {
      const outcome = await work(job.record, {
        signal: own.abort.signal,
        next: () => isStopping ? undefined : waitingJobs().at(0)?.record,
        onProgress(progress, secondsLeft) {
          job.progress = progress;
          job.secondsLeft = secondsLeft;
          tell(job.record.id);
        },
      });
      await end(job, outcome);
    } catch (error) {
      if (own.isCancelled) await end(job, { state: "cancelled" });
      else if (error instanceof Interrupted) await change(job, { state: "queued", attempts: attempts - 1 });
      else {
        options.onDefect(error, job.record);
        const problem = messageOf(error);
        await end(job, {
          state: "failed",
          error: givenUp("predicting the case", `a defect of the service: ${problem}`),
        });
      }
    } finally {
      job.progress = job.secondsLeft = undefined;
      running.delete(job);
    }
  }

  async function workOnAll(): Promise<void> {
    while (!isStopping) {
      const [job] = waitingJobs();
      if (job) await workOn(job);
      else await wake.promise;
    }
  }

  function wakeAll(): void {
    wake.resolve();
    wake = Promise.withResolvers();
  }

  function watch(id: string, listener: () => void): Disposable {
    const of = listeners.get(id) ?? new Set();
    listeners.set(id, of.add(listener));
    return {
      [Symbol.dispose]() {
        of.delete(listener);
        if (of.size === 0 && listeners.get(id) === of) listeners.delete(id);
      },
    };
  }

  async function removeExpired(): Promise<void> {
    const before = Date.now() - options.keepMs;
    for (const job of [...store.jobs.values()]) {
      const { id, finished, accepted } = job.record;
      if (isFinished(job) && Date.parse(finished ?? accepted) < before) {
        await store.remove(id).catch((error) => options.onDefect(error, job.record));
        tell(id);
      }
    }
  }

  return {
    get(id) {
      const job = store.jobs.get(id);
      return job && viewOfJob(job);
    },
    list() {
      let queued = 0;
      return [...store.jobs.values()].map((job) => viewOf(job, job.record.state === "queued" ? ++queued : undefined));
    },
    record: (id) => store.jobs.get(id)?.record,
    get waiting() {
      return waitingJobs().length;
    },
    get isFull() {
      return isFull();
    },
    place(id) {
      if (isFull()) return undefined;
      awaited.add(id);
      return { [Symbol.dispose]: () => void awaited.delete(id) };
    },
    added(id) {
      wakeAll();
      const job = store.jobs.get(id);
      if (!job) throw new Error(`Taking a job: the store has none ${id}`);
      return viewOfJob(job);
    },
    async cancel(id) {
      const job = store.jobs.get(id);
      if (!job) return undefined;
      if (isFinished(job)) {
        await store.remove(id);
        tell(id);
        return undefined;
      }
      const own = running.get(job);
      if (own) {
        own.isCancelled = true;
        own.abort.abort();
        const ended = Promise.withResolvers<void>();
        using _watching = watch(id, () => isFinished(job) && ended.resolve());
        await ended.promise;
      } else await end(job, { state: "cancelled" });
      return store.jobs.has(id) ? viewOfJob(job) : undefined;
    },
    watch,
    async run() {
      await removeExpired();
      const expiring = setInterval(() => void removeExpired(), Math.min(EXPIRY_MS, options.keepMs));
      try {
        await Promise.all(Array.from({ length: options.places ?? 1 }, workOnAll));
      } finally {
        clearInterval(expiring);
      }
    },
    stop(graceMs) {
      isStopping = true;
      wakeAll();
      const late = setTimeout(() => running.forEach(({ abort }) => abort.abort()), graceMs);
      Deno.unrefTimer(late);
    },
    async handBack() {
      for (const job of running.keys()) await change(job, { state: "queued", attempts: job.record.attempts - 1 });
    },
  };
}

/** A job that an earlier service has left. */
async function takeUp(job: Job, store: JobStore): Promise<void> {
  const { state, attempts } = job.record;
  if (isFinished(job)) await store.dropImages(job);
  if (state !== "running") return;
  if (attempts < MOST_ATTEMPTS) job.record = { ...job.record, state: "queued" };
  else {
    const problem = `the service was ended ${attempts} times while it was at this job, and does not begin it again`;
    const error = givenUp("predicting the case", problem, "see whether memory was short; send it again if not");
    job.record = { ...job.record, state: "failed", finished: new Date().toISOString(), error };
  }
  try {
    await store.save(job);
    if (isFinished(job)) await store.dropImages(job);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
  }
}
