/** Runs the analysis of training cases on several threads, as many cases at a time as memory allows. */
import { type JobKind, runJobs, type ThreadOptions } from "../base/job_threads.ts";
import { bytesOfCase } from "../dataset/case_size.ts";
import { analyseCase, type AnalysedCase, type FingerprintJob } from "./fingerprint_case.ts";

const ANALYSIS: JobKind<undefined, FingerprintJob, AnalysedCase> = {
  does: "reads training cases",
  interrupted: "stopped while reading the dataset; nothing was written",
  startWorker: () => new Worker(new URL("./fingerprint_worker.ts", import.meta.url), { type: "module" }),
  setting: undefined,
  runHere: analyseCase,
  // Foreground and counts come on top of image and segmentation.
  bytesOf: async (job) => 2 * await bytesOfCase(job.reader, job.case),
};

/**
 * Analyses all jobs and gives each result to `onResult`, in the order in which they are done.
 * @throws the first error of a job; Interrupted if the signal aborts
 */
export async function analyseCases(
  jobs: readonly FingerprintJob[],
  options: ThreadOptions,
  onResult: (result: AnalysedCase) => Promise<void>,
): Promise<void> {
  await runJobs(ANALYSIS, jobs, options, onResult);
}
