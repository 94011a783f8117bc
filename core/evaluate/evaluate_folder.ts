/**
 * Compares a folder of segmentations with their references and writes summary.json.
 * Source: compute_metrics_on_folder in nnunetv2/evaluation/evaluate_predictions.py.
 */
import { plural } from "../base/plural.ts";
import { UserError } from "../base/errors.ts";
import { writeAtomically } from "../base/files.ts";
import { type JobKind, runJobs } from "../base/job_threads.ts";
import { type MemoryAllowance, shareMemory } from "../base/memory_allowance.ts";
import { voxelsOfFile } from "../dataset/case_size.ts";
import { isFolder } from "../dataset/dataset_names.ts";
import { filesEndingIn } from "../dataset/raw_dataset.ts";
import type { ReaderName } from "../formats/image/image.ts";
import { imageEnding } from "../formats/image/readers.ts";
import { BYTES_PER_VOXEL, evaluateCase, type EvaluatedCase, type EvaluationJob } from "./evaluate_case.ts";
import type { Target } from "./overlap.ts";
import { SURFACE_BYTES_PER_VOXEL, type SurfaceSetting } from "./surface/surface_metrics.ts";
import { surfaceFile, surfaceText } from "./surface/surface_summary.ts";
import { type CaseMetrics, metricsOf, summarise, type Summary, summaryText } from "./summary.ts";

export interface Evaluation {
  /** Folder of the references, which have the predictions' file names. */
  readonly references: string;
  /** Folder of the predictions; every file in it that ends in `fileEnding` is a case. */
  readonly predictions: string;
  readonly fileEnding: string;
  readonly reader: ReaderName;
  /** What is measured: see {@link ./targets.ts}. */
  readonly targets: readonly Target[];
  readonly ignoreLabel?: number;
  /** Absent: surfaces are not measured. Otherwise they are, and `surfaceFile(output)` is written as well. */
  readonly surface?: SurfaceSetting;
  /** True: references without a prediction are passed over, as upstream's `chill`. Otherwise they are refused. */
  readonly chill: boolean;
  /** File to write, ending in .json; undefined: nothing is written. */
  readonly output?: string;
  /** Threads; 1: in the calling thread. Default: one for each core. */
  readonly threads?: number;
  /** Bytes that the run may take; undefined: what the machine has to give. */
  readonly maxMemory?: number;
  readonly signal?: AbortSignal;
  readonly onCase?: (done: number, of: number) => void;
  readonly onWarning?: (message: string) => void;
}

const DOING = "comparing segmentations";

const COMPARISON: JobKind<undefined, EvaluationJob, EvaluatedCase> = {
  does: "compares segmentations",
  interrupted: "stopped while comparing segmentations; no summary was written",
  startWorker: () => new Worker(new URL("./evaluate_worker.ts", import.meta.url), { type: "module" }),
  setting: undefined,
  runHere: evaluateCase,
  bytesOf: async ({ reader, referenceFile, surface }) =>
    (BYTES_PER_VOXEL + (surface ? SURFACE_BYTES_PER_VOXEL : 0)) * await voxelsOfFile(reader, referenceFile),
  beginsHere: true,
};

/**
 * @throws UserError if there is no prediction, a reference is missing or, without `chill`, a prediction; if a file can't be read or
 * two don't have the same shape. Interrupted if the signal aborts.
 */
export async function evaluateFolder(evaluation: Evaluation): Promise<Summary> {
  const { output, targets, surface } = evaluation;
  if (output !== undefined && !output.endsWith(".json")) {
    throw new UserError({
      doing: "choosing the summary's name",
      file: output,
      problem: "it does not end in .json",
      remedy: "give a name that does",
    });
  }
  if (targets.length === 0) {
    throw new UserError({ doing: DOING, problem: "there is no label to compare", remedy: "name at least one" });
  }
  const { allowance, ...threads } = shareMemory(
    evaluation.maxMemory,
    evaluation.threads ?? navigator.hardwareConcurrency,
  );
  const jobs = await listJobs(evaluation, allowance);
  const cases = new Map<EvaluationJob, CaseMetrics>();
  await runJobs(
    COMPARISON,
    jobs,
    { ...threads, signal: evaluation.signal },
    ({ overlaps, surfaces, warning }, job) => {
      if (warning !== undefined) evaluation.onWarning?.(warning);
      const metrics = new Map(targets.map(({ key }, i) => [key, metricsOf(overlaps[i])]));
      const files = { predictionFile: job.predictionFile, referenceFile: job.referenceFile };
      const ofSurfaces = surfaces && new Map(targets.map(({ key }, i) => [key, surfaces[i]]));
      cases.set(job, { metrics, ...(ofSurfaces && { surfaces: ofSurfaces }), ...files });
      evaluation.onCase?.(cases.size, jobs.length);
    },
  );
  const summary = summarise(jobs.flatMap((job) => cases.get(job) ?? []), targets);
  const write = async (file: string, text: string, doing: string) =>
    await writeAtomically(file, text, { doing, removesLeftovers: true, signal: evaluation.signal });
  if (output !== undefined) {
    await write(output, summaryText(summary), "writing the summary");
    if (surface) {
      const text = surfaceText(summary.cases, targets, surface);
      await write(surfaceFile(output), text, "writing the surface metrics");
    }
  }
  return summary;
}

async function listJobs(evaluation: Evaluation, memory: MemoryAllowance | undefined): Promise<EvaluationJob[]> {
  const { predictions, references, fileEnding, reader, targets, ignoreLabel, surface } = evaluation;
  for (const folder of [predictions, references]) {
    if (await isFolder(folder)) continue;
    throw new UserError({ doing: DOING, file: folder, problem: "there is no such folder", remedy: "check the path" });
  }
  const [predicted, known] = [
    await filesEndingIn(predictions, fileEnding),
    await filesEndingIn(references, fileEnding),
  ];
  if (predicted.length === 0) {
    const problem = `no file in it ends in ${fileEnding}`;
    throw new UserError({ doing: DOING, file: predictions, problem, remedy: "give the folder of the predictions" });
  }
  refuseMissing(predicted, known, predictions, references, "reference", "put them there, or take the predictions away");
  if (!evaluation.chill) {
    const remedy = "predict them too, or compare only what is there with --chill";
    refuseMissing(known, predicted, references, predictions, "prediction", remedy);
  }
  return predicted.map((name) => ({
    caseId: name.slice(0, name.length - (imageEnding(name) ?? fileEnding).length),
    reader,
    predictionFile: pythonJoin(predictions, name),
    referenceFile: pythonJoin(references, name),
    targets,
    ignoreLabel,
    ...(surface && { surface }),
    ...(memory && { memory }),
  }));
}

/** Refuses names of `from` that are not among `there`. */
function refuseMissing(
  names: readonly string[],
  there: readonly string[],
  from: string,
  folder: string,
  what: string,
  remedy: string,
): void {
  const present = new Set(there);
  const missing = names.filter((name) => !present.has(name));
  if (missing.length === 0) return;
  const listed = missing.slice(0, 3).join(", ") + (missing.length > 3 ? ", ..." : "");
  const problem = `${missing.length} of ${plural(names.length, "file")} in ${from} ${
    missing.length === 1 ? "has" : "have"
  } no ${what} there: ${listed}`;
  throw new UserError({ doing: DOING, file: folder, problem, remedy });
}

/** os.path.join: unlike node's, it leaves the folder as the user wrote it, and so do the paths in summary.json. */
export function pythonJoin(folder: string, name: string): string {
  return folder.endsWith("/") || folder.endsWith("\\") ? `${folder}${name}` : `${folder}/${name}`;
}
