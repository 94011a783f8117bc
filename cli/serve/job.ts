/** A job: what is asked for, how far it is, and what has come of it; as it is kept on the disk and as it is told. */
import { z } from "zod";
import { UserError, type UserErrorParts } from "../../core/base/errors.ts";
import { PATH_NAME } from "../../core/base/path_name.ts";
import { OUTPUT_FORMATS } from "../../core/predict/run/output_formats.ts";

export const STATES = ["queued", "running", "done", "failed", "cancelled"] as const;
export type JobState = (typeof STATES)[number];

/** Of a prediction, by the names of predict's flags. */
export const JOB_OPTIONS = z.strictObject({
  disable_tta: z.boolean().default(false).describe("No averaging over mirrored images: faster, less accurate."),
  step_size: z.number().min(0.001).max(1).default(0.5).describe("Step from tile to tile as a share of the patch."),
  save_probabilities: z.boolean().default(false).describe(
    "Also give the class probabilities, as ensembling needs them.",
  ),
  nan: z.enum(["zero", "min"]).optional().describe(
    "Replace NaN and infinite voxels by 0 or by the channel's smallest finite value. Without it such images are refused.",
  ),
  output_format: z.array(z.enum(OUTPUT_FORMATS)).min(1).max(OUTPUT_FORMATS.length).optional().describe(
    "Formats that the segmentation is written in beside the model's own; dicom-seg and rtstruct refer to the slices of a " +
      "DICOM study, and are for such alone.",
  ),
});
export type JobOptions = z.infer<typeof JOB_OPTIONS>;

const COUNT = z.int().min(0);
const TIME = z.iso.datetime();
const LABEL = z.object({
  label: COUNT,
  name: z.string().optional(),
  voxels: COUNT,
  ml: z.number().min(0).optional().describe("Millilitres by the image's spacing; absent of flat pictures."),
});

const JOB_ERROR = z.object({
  message: z.string(),
  doing: z.string().optional(),
  case: z.string().optional(),
  file: z.string().optional(),
  problem: z.string().optional(),
  remedy: z.string().optional(),
});
export type JobError = z.infer<typeof JOB_ERROR>;

export const PARTS = [
  "segmentation",
  "probabilities",
  "properties",
  "spacing",
  "view_image",
  "view_labels",
  ...OUTPUT_FORMATS,
] as const;
export type ResultPart = (typeof PARTS)[number];

/** Ids are made here; whoever sends another asks for nothing that there is. */
export const JOB_ID = /^[0-9a-f]{32}$/;

export const JOB_RECORD = z.object({
  version: z.literal(1),
  id: z.string().regex(JOB_ID),
  /** By which they are taken. */
  order: COUNT,
  model: z.string(),
  name: z.string().max(200).optional(),
  options: JOB_OPTIONS,
  /** True: what the viewer shows is kept with the results. */
  view: z.boolean().optional(),
  case: PATH_NAME,
  /** Names in the job's folder of images, or absolute paths of images that are not the service's. */
  files: z.array(z.string()),
  received: z.boolean(),
  /** True: what was received is DICOM, in a folder of the case's name in that of the images. */
  isStudy: z.boolean().optional(),
  state: z.enum(STATES),
  /** How often it was begun. */
  attempts: COUNT,
  accepted: TIME,
  started: TIME.optional(),
  finished: TIME.optional(),
  error: JOB_ERROR.optional(),
  labels: z.array(LABEL).optional(),
  /** Seconds of the stages. */
  seconds: z.record(z.string(), z.number().min(0)).optional(),
  results: z.partialRecord(z.enum(PARTS), PATH_NAME).optional(),
});
export type JobRecord = z.infer<typeof JOB_RECORD>;

/** What is told of a job. */
export const JOB_VIEW = z.object({
  id: z.string(),
  state: z.enum(STATES),
  model: z.string(),
  name: z.string().optional().describe("What the client calls it."),
  case: z.string(),
  options: z.record(z.string(), z.unknown()),
  accepted: TIME,
  started: TIME.optional(),
  finished: TIME.optional(),
  position: z.int().min(1).optional().describe("Of a queued job: 1 is the next."),
  progress: z.object({ done: COUNT, of: COUNT }).optional().describe("Of a running job: network runs."),
  seconds_left: z.number().min(0).optional().describe("Of a running job, about."),
  seconds: z.record(z.string(), z.number()).optional().describe("Of a done job: what its stages took."),
  labels: z.array(LABEL).optional().describe("Of a done job: voxels and volume of each label."),
  results: z.array(z.enum(PARTS)).optional().describe("Of a done job: what /jobs/{id}/result?part= gives."),
  error: JOB_ERROR.optional(),
});
export type JobView = z.infer<typeof JOB_VIEW>;

/** A job in memory. */
export interface Job {
  record: JobRecord;
  /** Bytes in the state folder. */
  bytes: number;
  progress?: { readonly done: number; readonly of: number };
  secondsLeft?: number;
}

export function isFinished({ record: { state } }: Job): boolean {
  return isFinalState(state);
}

export function isFinalState(state: JobState): boolean {
  return state === "done" || state === "failed" || state === "cancelled";
}

/** @param position Of a queued job, from 1 on */
export function viewOf({ record, progress, secondsLeft }: Job, position: number | undefined): JobView {
  const { id, state, model, name, options, accepted, started, finished, seconds, labels, results, error } = record;
  const isRunning = state === "running";
  return {
    id,
    state,
    model,
    ...(name !== undefined && { name }),
    case: record.case,
    options,
    accepted,
    ...(started !== undefined && { started }),
    ...(finished !== undefined && { finished }),
    ...(state === "queued" && position !== undefined && { position }),
    ...(isRunning && progress && { progress }),
    ...(isRunning && secondsLeft !== undefined && { seconds_left: secondsLeft }),
    ...(seconds && { seconds }),
    ...(labels && { labels }),
    ...(results && { results: PARTS.filter((part) => results[part] !== undefined) }),
    ...(error && { error }),
  };
}

/** What is told of an error: the job's folder is the service's own matter. */
export function jobError(error: UserErrorParts, message: string, folder: string): JobError {
  const { caseId, file, doing, problem, remedy } = error;
  const plain = (text: string) => text.replaceAll(`${folder}/images/`, "").replaceAll(folder, "the job's folder");
  return {
    message: plain(message),
    doing,
    ...(caseId !== undefined && { case: caseId }),
    ...(file !== undefined && { file: plain(file) }),
    problem: plain(problem),
    ...(remedy !== undefined && { remedy: plain(remedy) }),
  };
}

/** A job that the service itself gives up. */
export function givenUp(doing: string, problem: string, remedy?: string): JobError {
  const parts = { doing, problem, ...(remedy !== undefined && { remedy }) };
  return { message: new UserError(parts).message, ...parts };
}
