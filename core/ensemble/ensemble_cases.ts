/** Runs the cases of an ensemble on several threads, as many at a time as memory allows. */
import { outOfMemory } from "../base/allocation.ts";
import { UserError, type UserErrorParts } from "../base/errors.ts";
import { type JobKind, runJobs } from "../base/job_threads.ts";
import { shareMemory } from "../base/memory_allowance.ts";
import { bytesOfJob, ensembleCase, type EnsembledCase, type EnsembleJob } from "./ensemble_case.ts";
import { createLabelMemory, type LabelMemory } from "./label_memory.ts";

/** How an ensemble's cases are done. */
export interface EnsembleOptions {
  /** 1: in the calling thread. Default: one for each core. */
  readonly threads?: number;
  /** Bytes that the run may take; undefined: what the machine has to give. */
  readonly maxMemory?: number;
  readonly signal?: AbortSignal;
  readonly onCase?: (done: number, of: number) => void;
}

/** A case that could not be done. */
export interface FailedEnsembleCase {
  readonly id: string;
  readonly error: UserErrorParts;
  readonly message: string;
}

/** @param memory Of the calling thread */
const averaging = (memory: LabelMemory): JobKind<undefined, EnsembleJob, EnsembledCase> => ({
  does: "averages probabilities",
  interrupted: "stopped while averaging probabilities; nothing half-written is left",
  startWorker: () => new Worker(new URL("./ensemble_worker.ts", import.meta.url), { type: "module" }),
  setting: undefined,
  runHere: (job) => ensembleCase(job, memory),
  bytesOf: bytesOfJob,
  beginsHere: true,
  finishesRunning: true,
  threadEnded: ({ files }, detail) => ({
    failure: outOfMemory({ doing: "averaging probabilities", file: files[0] }, detail),
  }),
});

/**
 * @returns the cases that could not be done, in the order of the jobs; all others are written
 * @throws UserError for what concerns every case: a disk that is full; Interrupted if the signal aborts
 */
export async function ensembleCases(
  jobs: readonly Omit<EnsembleJob, "memory">[],
  options: EnsembleOptions,
): Promise<FailedEnsembleCase[]> {
  const { allowance, ...threads } = shareMemory(options.maxMemory, options.threads ?? navigator.hardwareConcurrency);
  const failures = new Map<EnsembleJob, FailedEnsembleCase>();
  const all: EnsembleJob[] = jobs.map((job) => ({ ...job, ...(allowance && { memory: allowance }) }));
  let done = 0;
  options.onCase?.(done, all.length);
  using memory = createLabelMemory();
  await runJobs(averaging(memory), all, { ...threads, signal: options.signal }, ({ failure }, job) => {
    if (failure) {
      const error = new UserError(failure).withCase(job.caseId);
      failures.set(job, { id: job.caseId, error: error.parts, message: error.message });
    }
    options.onCase?.(++done, all.length);
  });
  return all.flatMap((job) => failures.get(job) ?? []);
}
