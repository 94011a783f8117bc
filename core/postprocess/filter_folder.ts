/** Applies a postprocessing to the segmentations of a folder. Source: apply_postprocessing_to_folder of upstream. */
import { Interrupted, UserError } from "../base/errors.ts";
import { ensureFolder } from "../base/files.ts";
import { outOfMemory } from "../base/allocation.ts";
import { type JobKind, runJobs } from "../base/job_threads.ts";
import { removeLeftovers } from "../base/leftovers.ts";
import { shareMemory } from "../base/memory_allowance.ts";
import { join } from "../base/path.ts";
import { voxelsOfFile } from "../dataset/case_size.ts";
import type { ReaderName } from "../formats/image/image.ts";
import { filterCase, type FilterJob, type FilterOutcome } from "./filter_case.ts";
import { BYTES_PER_VOXEL } from "./read_segmentation.ts";
import type { PostprocessingStep } from "./steps.ts";

export interface FilterFolder {
  readonly input: string;
  /** Made if it is not there; files of the same names are replaced. */
  readonly output: string;
  /** Names of the files in `input`. */
  readonly files: readonly string[];
  readonly fileEnding: string;
  readonly reader: ReaderName;
  readonly steps: readonly PostprocessingStep[];
  /** Threads; 1: in the calling thread. Default: one for each core. */
  readonly threads?: number;
  /** Bytes that the run may take; undefined: what the machine has to give. */
  readonly maxMemory?: number;
  readonly signal?: AbortSignal;
  readonly onCase?: (done: number, of: number) => void;
}

export interface FailedCase {
  readonly caseId: string;
  readonly error: UserError;
}

export interface FilteredFolder {
  readonly failed: readonly FailedCase[];
  /** Of the cases that did not fail, those in which a voxel became another label. */
  readonly changedCases: number;
}

const INTERRUPTED = "stopped while postprocessing; the segmentations written so far are whole";

const FILTERING: JobKind<undefined, FilterJob, FilterOutcome> = {
  does: "postprocesses segmentations",
  interrupted: INTERRUPTED,
  startWorker: () => new Worker(new URL("./postprocess_worker.ts", import.meta.url), { type: "module" }),
  setting: undefined,
  runHere: filterCase,
  bytesOf: async ({ reader, input }) => BYTES_PER_VOXEL * await voxelsOfFile(reader, input),
  beginsHere: true,
  finishesRunning: true,
  threadEnded: ({ caseId, input }, detail) => ({
    error: outOfMemory({ doing: "postprocessing the segmentation", caseId, file: input }, detail),
  }),
};

/**
 * Each case by itself: one that fails is among the results, and the others are written.
 * @throws UserError if the output folder can't be made, or writing would fail for every case; Interrupted if the signal aborts, once
 * the cases at work are written
 */
export async function filterFolder(options: FilterFolder): Promise<FilteredFolder> {
  const { input, output, files, fileEnding, reader, steps, signal } = options;
  await ensureFolder(output, "making the output folder");
  removeLeftovers(output);
  const { allowance, ...threads } = shareMemory(options.maxMemory, options.threads ?? navigator.hardwareConcurrency);
  const jobs = files.map((name): FilterJob => ({
    kind: "filter",
    caseId: name.slice(0, name.length - fileEnding.length),
    reader,
    input: join(input, name),
    output: join(output, name),
    filters: steps.map(({ labels, background }) => ({ labels, background })),
    ...(allowance && { memory: allowance }),
  }));
  const failed: FailedCase[] = [];
  let done = 0;
  let changedCases = 0;
  await runJobs(FILTERING, jobs, threads, (outcome, { caseId }) => {
    if ("error" in outcome) {
      const error = new UserError(outcome.error);
      if (error.parts.endsRun) throw error;
      failed.push({ caseId, error });
    } else if (outcome.changed > 0) changedCases++;
    options.onCase?.(++done, jobs.length);
    // Not at once: a thread that is ended while it writes leaves its file behind.
    if (signal?.aborted) throw new Interrupted(INTERRUPTED);
  });
  return { failed, changedCases };
}
