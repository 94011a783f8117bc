/**
 * Finds out which postprocessing helps a folder of predictions, and applies it. Every prediction is read once to decide, whatever the
 * number of labels, and once more to be written. Source: determine_postprocessing in
 * nnunetv2/postprocessing/remove_connected_components.py.
 */
import { UserError } from "../base/errors.ts";
import { removeIfThere, writeAtomically } from "../base/files.ts";
import { type JobKind, runJobs } from "../base/job_threads.ts";
import { parseJsonExactly } from "../base/json.ts";
import { shareMemory } from "../base/memory_allowance.ts";
import { join } from "../base/path.ts";
import { plural } from "../base/plural.ts";
import { readTextOrNull } from "../base/read_text.ts";
import { voxelsOfFile } from "../dataset/case_size.ts";
import type { DatasetJson } from "../dataset/dataset_json.ts";
import { isFolder } from "../dataset/dataset_names.ts";
import { filesEndingIn } from "../dataset/raw_dataset.ts";
import { pythonJoin } from "../evaluate/evaluate_folder.ts";
import type { Target } from "../evaluate/overlap.ts";
import { summaryText } from "../evaluate/summary.ts";
import { targetsOf } from "../evaluate/targets.ts";
import type { ReaderName } from "../formats/image/image.ts";
import { copyFolderFiles } from "./copy_files.ts";
import { type CandidateCase, decideSteps, type Decision, summaryOf } from "./decide.ts";
import { filterFolder } from "./filter_folder.ts";
import { measureCase, type MeasuredCase, type MeasurementJob } from "./measure_case.ts";
import { parseScores, pickleSteps, stepsJson, type SummaryMeans } from "./postprocessing_file.ts";
import { BYTES_PER_VOXEL } from "./read_segmentation.ts";
import type { PostprocessingStep } from "./steps.ts";

export interface PostprocessingSearch {
  /** Folder of the predictions, as the summaries' paths begin; every file in it that ends in the dataset's file ending is a case. */
  readonly predictions: string;
  /** Folder of the true segmentations, which have the predictions' file names. */
  readonly references: string;
  readonly dataset: DatasetJson;
  readonly reader: ReaderName;
  /** False: the folder `postprocessed` is removed, and not written in the first place. */
  readonly keepPostprocessed: boolean;
  /** Threads; 1: in the calling thread. Default: one for each core. */
  readonly threads?: number;
  /** Bytes that the run may take; undefined: what the machine has to give. */
  readonly maxMemory?: number;
  readonly signal?: AbortSignal;
  /** Cases read; with `keepPostprocessed` and a step that helps, later cases written. */
  readonly onCase?: (work: "compared" | "postprocessed", done: number, of: number) => void;
  readonly onDecision?: (decision: Decision) => void;
  readonly onWarning?: (message: string) => void;
}

export interface FoundPostprocessing {
  /** What helps, in the order in which it is applied. */
  readonly steps: readonly PostprocessingStep[];
  /** What was tried, in its order. */
  readonly decisions: readonly Decision[];
  /** Mean Dice of the foreground before and after. */
  readonly before: number;
  readonly after: number;
  readonly cases: number;
  /** postprocessing.pkl. */
  readonly file: string;
}

const DOING = "determining the postprocessing";

const MEASURING: JobKind<undefined, MeasurementJob, MeasuredCase> = {
  does: "compares segmentations",
  interrupted: "stopped while comparing segmentations; no postprocessing was written",
  startWorker: () => new Worker(new URL("./postprocess_worker.ts", import.meta.url), { type: "module" }),
  setting: undefined,
  runHere: measureCase,
  bytesOf: async ({ reader, referenceFile }) => BYTES_PER_VOXEL * await voxelsOfFile(reader, referenceFile),
  beginsHere: true,
};

/**
 * Writes, into the folder of the predictions, summary.json if it is not there, the folder `postprocessed`, postprocessing.pkl and
 * postprocessing.json. Decisions are made on the scores of a summary.json that is there, as upstream makes them.
 *
 * @throws UserError if there is no prediction or references are missing (all are named); if a file can't be read, two don't have the
 * same shape, or writing fails. Interrupted if the signal aborts.
 */
export async function determinePostprocessing(search: PostprocessingSearch): Promise<FoundPostprocessing> {
  const { predictions, dataset } = search;
  const targets = targetsOf(dataset);
  const files = await listPredictions(search);
  const keys = targets.map(({ key }) => key);
  const summaryFile = join(predictions, "summary.json");
  const written = await readTextOrNull(summaryFile, "reading the summary");
  const scores = written === null ? null : parseScores(written, summaryFile, keys);

  const cases = await measureCases(search, files, targets);
  const computed = summaryText(summaryOf(cases, targets));
  const counted = parseScores(computed, summaryFile, keys);
  const baseline = scores ?? counted;
  if (scores === null) await write(search, summaryFile, computed);
  else if (differs(scores.foreground, counted.foreground)) {
    search.onWarning?.(
      `${summaryFile} is not of these segmentations: it says a mean Dice of ${baseline.foreground}. ` +
        "It is used all the same, as by Python; remove it to have it made anew",
    );
  }

  const folder = pythonJoin(predictions, "postprocessed");
  const decisions = decideSteps({
    cases,
    targets,
    foregroundLabels: dataset.labels.foregroundLabels,
    baseline,
    foregroundFolder: `${folder}/temp/keep_largest_fg`,
    targetFolder: `${folder}/temp/keep_largest_perClassOrRegion`,
    ...(search.onDecision && { onDecision: search.onDecision }),
  });
  const before = written ?? computed;
  const after = decisions.summary ? summaryText(decisions.summary) : before;
  if (search.keepPostprocessed) await writePostprocessed(search, folder, files, decisions.steps, after);
  else await removeIfThere(folder, "removing the postprocessed files", { recursive: true });
  await write(search, join(predictions, "postprocessing.pkl"), pickleSteps(decisions.steps));
  const json = stepsJson(decisions.steps, meansOf(before, summaryFile), meansOf(after, summaryFile));
  await write(search, join(predictions, "postprocessing.json"), json);
  return {
    steps: decisions.steps,
    decisions: decisions.all,
    before: baseline.foreground,
    after: decisions.summary?.foregroundMean.Dice ?? baseline.foreground,
    cases: cases.length,
    file: join(predictions, "postprocessing.pkl"),
  };
}

/** Names of the predictions. */
async function listPredictions(search: PostprocessingSearch): Promise<string[]> {
  const { predictions, references, dataset: { fileEnding } } = search;
  for (const folder of [predictions, references]) {
    if (await isFolder(folder)) continue;
    throw new UserError({ doing: DOING, file: folder, problem: "there is no such folder", remedy: "check the path" });
  }
  const predicted = await filesEndingIn(predictions, fileEnding);
  if (predicted.length === 0) {
    const problem = `no file in it ends in ${fileEnding}`;
    throw new UserError({ doing: DOING, file: predictions, problem, remedy: "give the folder of the predictions" });
  }
  const known = new Set(await filesEndingIn(references, fileEnding));
  const missing = predicted.filter((name) => !known.has(name));
  if (missing.length > 0) {
    const problem = `${missing.length} of ${plural(predicted.length, "prediction")} in ${predictions} ${
      missing.length === 1 ? "has" : "have"
    } no true segmentation there: ${missing.join(", ")}`;
    const remedy = "put them there, or take the predictions away";
    throw new UserError({ doing: DOING, file: references, problem, remedy });
  }
  if (known.size > predicted.length) {
    search.onWarning?.(
      "Not all files in folder_ref were found in folder_predictions. Determining postprocessing should always be done on the " +
        `entire dataset! (${known.size - predicted.length} of ${known.size} have no prediction)`,
    );
  }
  return predicted;
}

async function measureCases(
  search: PostprocessingSearch,
  files: readonly string[],
  targets: readonly Target[],
): Promise<CandidateCase[]> {
  const { predictions, references, dataset: { fileEnding, labels }, reader, signal } = search;
  const { allowance, ...threads } = shareMemory(search.maxMemory, search.threads ?? navigator.hardwareConcurrency);
  const jobs = files.map((name): MeasurementJob => ({
    kind: "measure",
    caseId: name.slice(0, name.length - fileEnding.length),
    reader,
    predictionFile: pythonJoin(predictions, name),
    referenceFile: pythonJoin(references, name),
    targets,
    labels: labels.foregroundLabels,
    ...(labels.ignoreLabel !== undefined && { ignoreLabel: labels.ignoreLabel }),
    ...(allowance && { memory: allowance }),
  }));
  const measured = new Map<MeasurementJob, MeasuredCase>();
  await runJobs(MEASURING, jobs, { ...threads, ...(signal && { signal }) }, (result, job) => {
    if (result.warning !== undefined) search.onWarning?.(result.warning);
    measured.set(job, result);
    search.onCase?.("compared", measured.size, jobs.length);
  });
  return jobs.flatMap((job, i) => {
    const { predictionFile, referenceFile } = job;
    const found = measured.get(job);
    return found ? [{ measured: found, fileName: files[i], predictionFile, referenceFile }] : [];
  });
}

/** The folder `postprocessed`: the predictions with the steps applied, or, without any, all files of the folder as they are. */
async function writePostprocessed(
  search: PostprocessingSearch,
  folder: string,
  files: readonly string[],
  steps: readonly PostprocessingStep[],
  summary: string,
): Promise<void> {
  const { predictions, reader, dataset: { fileEnding }, threads, maxMemory, signal, onCase } = search;
  if (steps.length === 0) {
    await copyFolderFiles(predictions, folder, { doing: DOING, ...(signal && { signal }) });
    return;
  }
  const { failed } = await filterFolder({
    input: predictions,
    output: folder,
    files,
    fileEnding,
    reader,
    steps,
    ...(threads !== undefined && { threads }),
    ...(maxMemory !== undefined && { maxMemory }),
    ...(signal && { signal }),
    onCase: (done, of) => onCase?.("postprocessed", done, of),
  });
  if (failed.length > 0) throw failed[0].error;
  await write(search, join(folder, "summary.json"), summary);
}

async function write({ signal }: PostprocessingSearch, file: string, content: string | Uint8Array): Promise<void> {
  await writeAtomically(file, content, { doing: DOING, removesLeftovers: true, ...(signal && { signal }) });
}

function meansOf(summary: string, file: string): SummaryMeans {
  const { foreground_mean, mean } = parseJsonExactly(summary, file) as SummaryMeans;
  return { foreground_mean, mean };
}

function differs(a: number, b: number): boolean {
  return Number.isNaN(a) !== Number.isNaN(b) || Math.abs(a - b) > 1e-9;
}
