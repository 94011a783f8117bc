/**
 * Pictures of a dataset's training cases with their labels, one a case.
 * Source: generate_overlays_from_raw and generate_overlays_from_preprocessed in nnunetv2/utilities/overlay_plots.py.
 */
import { UserError, type UserErrorParts } from "../base/errors.ts";
import { ensureFolder, writeAtomically } from "../base/files.ts";
import { type JobKind, runJobs } from "../base/job_threads.ts";
import { shareMemory } from "../base/memory_allowance.ts";
import { outOfMemory } from "../base/allocation.ts";
import { refuseOverwriting } from "../base/overwriting.ts";
import { join } from "../base/path.ts";
import { removeLeftovers } from "../base/leftovers.ts";
import { statOrNull } from "../base/stat_or_null.ts";
import { bytesOfCase } from "../dataset/case_size.ts";
import { chooseReader } from "../dataset/choose_reader.ts";
import { isFolder } from "../dataset/dataset_names.ts";
import { readRawDataset } from "../dataset/raw_dataset.ts";
import { formatNames } from "../formats/image/readers.ts";
import { requirePlansName } from "../plan/plans_name.ts";
import { readPlans, resolveConfiguration } from "../plan/read_plans.ts";
import { listPreprocessedCases } from "../preprocess/training_case_reader.ts";
import { DRAWING, type OverlayJob, type OverlaySource, plotCase, type PlottedCase } from "./plot_overlay_case.ts";

export interface OverlayRequest {
  /** The raw dataset's folder, or that of the preprocessed one with its plans and a configuration; none: 3d_fullres, else 2d. */
  readonly from:
    | { readonly kind: "raw"; readonly folder: string }
    | {
      readonly kind: "preprocessed";
      readonly folder: string;
      readonly plansName: string;
      readonly configuration?: string;
    };
  /** Folder of the pictures, made if it is not there; those there of the same cases are replaced. */
  readonly output: string;
  /** Of the image, from 0. */
  readonly channel: number;
  /** Upstream's overlay_intensity. */
  readonly intensity: number;
  readonly threads: number;
  /** Bytes that the run may take; undefined: what the machine has to give. */
  readonly maxMemory?: number;
  readonly signal?: AbortSignal;
  readonly onCase?: (done: number, of: number) => void;
  readonly onWarning?: (message: string) => void;
}

export interface Overlays {
  readonly drawn: number;
  readonly failures: readonly UserErrorParts[];
  /** Of the images: "NRRD", or several; absent of preprocessed ones. */
  readonly formats?: string;
}

/** Bytes of a preprocessed case beside its file: planes read at a time, and a slice. */
const SLAB_ROOM = 128 * 2 ** 20;
/** Of an npz, read whole, by the bytes it has packed; about, as packing varies. */
const NPZ_UNPACKED = 3;

const KIND: JobKind<undefined, OverlayJob, PlottedCase> = {
  does: "draws segmentations over images",
  interrupted: "stopped while drawing segmentations over images; the pictures that are done are kept",
  startWorker: () => new Worker(new URL("./plot_overlay_worker.ts", import.meta.url), { type: "module" }),
  setting: undefined,
  runHere: plotCase,
  bytesOf: async ({ source, caseId }) => {
    if (source.kind === "raw") return await bytesOfCase(source.reader, { id: caseId, ...source });
    const packed = await statOrNull(join(source.folder, `${caseId}.npz`), DRAWING);
    return SLAB_ROOM + NPZ_UNPACKED * (packed?.size ?? 0);
  },
  finishesRunning: true,
  threadEnded: ({ caseId }, detail) => ({ failure: outOfMemory({ doing: DRAWING, caseId }, detail) }),
};

/**
 * Draws a picture of every case; a case whose files are wrong is among the failures, and the others are drawn.
 * @throws UserError if there is no dataset, plans or data, or a picture would have the place of an input. Interrupted if the signal
 * aborts.
 */
export async function plotOverlays(request: OverlayRequest): Promise<Overlays> {
  const { output, channel, intensity, signal } = request;
  const { allowance, ...threads } = shareMemory(request.maxMemory, request.threads);
  const cases = request.from.kind === "raw"
    ? await rawCases(request.from.folder, request)
    : await preprocessedCases(request.from);
  const picture = (caseId: string) => join(output, `${caseId}.png`);
  refuseOverwriting(
    cases.flatMap(({ source }) => source.kind === "raw" ? [...source.images, source.label] : [])
      .map((path) => ({ path, what: "an input" })),
    cases.map(({ caseId }) => ({ path: picture(caseId), what: "a picture" })),
    { doing: DRAWING, remedy: "name another folder with -o" },
  );
  await ensureFolder(output, "making the folder of the pictures");
  removeLeftovers(output);
  const failures: UserErrorParts[] = [];
  let done = 0;
  const jobs = cases.map((one): OverlayJob => ({
    ...one,
    channel,
    intensity,
    ...(allowance && { memory: allowance }),
  }));
  await runJobs(KIND, jobs, { ...threads, signal }, async (result, { caseId }) => {
    if ("failure" in result) failures.push(result.failure);
    else await writeAtomically(picture(caseId), result.png, { doing: "writing the picture", signal });
    request.onCase?.(++done, jobs.length);
  });
  const formats = formatsOf(cases);
  return { drawn: jobs.length - failures.length, failures, ...(formats !== undefined && { formats }) };
}

type Case = Pick<OverlayJob, "caseId" | "source">;

function formatsOf(cases: readonly Case[]): string | undefined {
  const names = cases.flatMap(({ source }) => source.kind === "raw" ? formatNames(source.reader, source.images) : []);
  return names.length === 0 ? undefined : [...new Set(names)].join(", ");
}

async function rawCases(folder: string, { channel, maxMemory, onWarning }: OverlayRequest): Promise<Case[]> {
  const { json, jsonFile, cases } = await readRawDataset(folder);
  const [first] = cases;
  const example = first.images[first.images.length > 1 ? channel : 0] ?? first.label;
  const { reader, warnings } = await chooseReader(json, jsonFile, example, false, maxMemory);
  for (const warning of warnings) onWarning?.(warning);
  return cases.map(({ id, images, label }) => {
    const source: OverlaySource = { kind: "raw", reader, images, label };
    return { caseId: id, source };
  });
}

async function preprocessedCases(
  { folder, plansName, configuration }: OverlayRequest["from"] & { kind: "preprocessed" },
): Promise<Case[]> {
  if (!await isFolder(folder)) {
    throw new UserError({
      doing: DRAWING,
      file: folder,
      problem: "there is no such folder",
      remedy: "preprocess the dataset first, or draw the raw images with --use_raw",
    });
  }
  requirePlansName(plansName, { doing: DRAWING });
  const plans = await readPlans(join(folder, `${plansName}.json`));
  const known = Object.keys(
    (plans.json as { readonly configurations: Readonly<Record<string, unknown>> }).configurations,
  );
  const name = configuration ?? (known.includes("3d_fullres") ? "3d_fullres" : "2d");
  const data = join(folder, resolveConfiguration(plans, name).dataIdentifier);
  if (!await isFolder(data)) {
    throw new UserError({
      doing: DRAWING,
      file: data,
      problem: `configuration ${name} of ${plansName} is not preprocessed: there is no such folder`,
      remedy: `run preprocess with -plans_name ${plansName} -c ${name}, or draw the raw images with --use_raw`,
    });
  }
  const ids = await listPreprocessedCases(data);
  return ids.map((caseId) => ({ caseId, source: { kind: "preprocessed", folder: data } }));
}
