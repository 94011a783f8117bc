/** Preprocesses cases on several threads, as many at a time as memory allows; a case that fails does not stop the others. */
import { outOfMemory } from "../base/allocation.ts";
import { type JobKind, runJobs, type ThreadOptions } from "../base/job_threads.ts";
import {
  PREPROCESSING,
  type PreprocessJob,
  type PreprocessReply,
  type PreprocessSetting,
  runPreprocessJob,
} from "./preprocess_worker_job.ts";

/** A job and what it takes at most. */
export interface SizedJob {
  readonly job: PreprocessJob;
  /** Of memory. */
  readonly bytes: number;
  /** Bytes that it writes. */
  readonly disk: number;
}

export interface PreprocessThreads extends ThreadOptions {
  /** As that of {@link JobKind}: for processes that share the cases. */
  readonly admit?: (job: PreprocessJob) => PreprocessJob | undefined;
}

/**
 * Runs all jobs, the first ones first, and gives each reply to `onReply` as it comes.
 * @throws Interrupted if `signal` aborts; errors that are defects of the program; what `onReply` throws, which ends the work
 */
export async function preprocessCases(
  setting: PreprocessSetting,
  jobs: readonly SizedJob[],
  options: PreprocessThreads,
  onReply: (job: PreprocessJob, reply: PreprocessReply) => Promise<void>,
): Promise<void> {
  const bytes = new Map(jobs.map((sized) => [sized.job, sized.bytes]));
  const preprocessing: JobKind<PreprocessSetting, PreprocessJob, PreprocessReply> = {
    does: "preprocesses cases",
    interrupted: "stopped while preprocessing; run the same command again to continue with the cases left",
    startWorker: () => new Worker(new URL("./preprocess_worker.ts", import.meta.url), { type: "module" }),
    setting,
    runHere: (job) => runPreprocessJob(setting, job),
    ...(options.admit && { admit: options.admit }),
    bytesOf: (job) => bytes.get(job) ?? 0,
    finishesRunning: true, // so that no file is left half-written; a signal stops them at once
    threadEnded: ({ case: { id } }, detail) => ({
      kind: "failed",
      made: [],
      parts: outOfMemory({ doing: PREPROCESSING, caseId: id }, detail),
    }),
  };
  await runJobs(preprocessing, jobs.map(({ job }) => job), options, (reply, job) => onReply(job, reply));
}
