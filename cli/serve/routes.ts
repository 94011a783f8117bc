/** What can be asked of the service: one table, of which requests are answered and the OpenAPI document is made. */
import { z } from "zod";
import { join } from "../../core/base/path.ts";
import { OUTPUT_FORMATS } from "../../core/predict/run/output_formats.ts";
import { VERSION } from "../version.ts";
import { quoted } from "./access.ts";
import { docsPage } from "./docs_page.ts";
import type { HttpRequest, HttpResponse } from "./http_server.ts";
import { isFinalState, JOB_ID, JOB_VIEW, type JobRecord, type JobView, PARTS, STATES } from "./job.ts";
import { REPORT } from "./predictor.ts";
import type { JobQueue } from "./job_queue.ts";
import { jobEvents } from "./job_events.ts";
import { openApiDocument } from "./openapi.ts";
import { HttpProblem } from "./problem.ts";
import { JSON_JOB, receiveJob, type Reception } from "./receive_job.ts";
import { fileResponse, mediaTypeOf } from "./send_file.ts";

/** What answers are made of. */
export interface Service {
  readonly reception: Reception;
  readonly queue: JobQueue;
  readonly engine: () => string;
  readonly heldBytes: (model: string) => number;
  readonly metrics: () => string;
  /** The demo's phantom as .nii.gz, made when it is first asked for. */
  readonly phantom: () => Uint8Array;
  /** Aborts when the service ends. */
  readonly ending: AbortSignal;
}

/** A question, with what its path holds. */
export interface Call {
  readonly request: HttpRequest;
  /** {id} of the path; "" where it has none. */
  readonly id: string;
  readonly service: Service;
}

/** A possible answer. */
export interface Answer {
  readonly status: number;
  readonly description: string;
  /** Absent: the answer has no body. */
  readonly mediaType?: string;
  /** Of JSON. */
  readonly schema?: z.ZodType;
}

export interface Route {
  readonly method: "GET" | "POST" | "DELETE";
  /** "/jobs/{id}". */
  readonly path: string;
  readonly summary: string;
  readonly description?: string;
  /** True: needs no token. */
  readonly open?: true;
  readonly query?: readonly { readonly name: string; readonly description: string; readonly schema: z.ZodType }[];
  readonly bodies?: Readonly<Record<string, z.ZodType | object>>;
  readonly answers: readonly Answer[];
  readonly answer: (call: Call) => Promise<HttpResponse> | HttpResponse;
}

const JSON_TYPE = "application/json";

const HEALTH = z.object({
  status: z.enum(["ok", "ending"]),
  version: z.string(),
  engine: z.string(),
  queued: z.int().min(0),
  running: z.boolean(),
});

const MODEL_VIEW = z.object({
  name: z.string(),
  dataset: z.string(),
  configuration: z.string(),
  trainer: z.string(),
  folds: z.array(z.string()),
  channels: z.array(z.string()).describe("One image each, in this order."),
  file_ending: z.string(),
  labels: z.record(z.string(), z.string()).describe("Names of the labels, by number."),
  regions: z.array(z.object({ name: z.string(), labels: z.array(z.int()) })).describe(
    "What a model of regions finds: each is made of labels.",
  ),
  first_stage: z.string().optional().describe("Of a cascade's second stage: the model that is run before it."),
  loaded: z.boolean().describe("False until the first job, and where it gave its memory back."),
});

const MULTIPART_JOB = {
  type: "object",
  properties: {
    image: {
      type: "array",
      items: { type: "string", format: "binary" },
      description: "The images, a part each, in channel order. Their names end as the model's files do.",
    },
    dicom: {
      type: "array",
      items: { type: "string", format: "binary" },
      description: "Instead of images: the files of a DICOM study, a part each, whatever their names and order.",
    },
    model: { type: "string" },
    name: { type: "string", maxLength: 200 },
    disable_tta: { type: "string", enum: ["true", "false"] },
    step_size: { type: "string" },
    save_probabilities: { type: "string", enum: ["true", "false"] },
    nan: { type: "string", enum: ["zero", "min"] },
    spacing: {
      type: "string",
      description:
        'Of TIFF volumes: the JSON beside them, {"spacing": [z, y, x]} in millimetres, as text or as a file.',
    },
    output_format: {
      type: "string",
      description: `Formats of the segmentation beside the model's own, with commas: ${OUTPUT_FORMATS.join(", ")}. ` +
        "dicom-seg and rtstruct are for DICOM studies.",
    },
    view: {
      type: "string",
      enum: ["true", "false"],
      description: "Also keep, with the results, what the page shows: the first channel and the segmentation as NIfTI.",
    },
  },
  additionalProperties: false,
};

const problem = (status: number, description: string): Answer => ({
  status,
  description,
  mediaType: "application/problem+json",
});
const NO_JOB = problem(404, "There is no such job (any more).");
const json = (value: unknown, status = 200): HttpResponse => ({
  status,
  headers: { "content-type": JSON_TYPE },
  body: JSON.stringify(value),
});

export const ROUTES: readonly Route[] = [
  {
    method: "GET",
    path: "/health",
    summary: "Tell whether the service works",
    open: true,
    answers: [{ status: 200, description: "It does.", mediaType: JSON_TYPE, schema: HEALTH }],
    answer: ({ service: { queue, engine, ending } }) => {
      const running = queue.list().some(({ state }) => state === "running");
      const status = ending.aborted ? "ending" : "ok";
      return json({ status, version: VERSION, engine: engine(), queued: queue.waiting, running });
    },
  },
  {
    method: "GET",
    path: "/models",
    summary: "List the models",
    answers: [{
      status: 200,
      description: "The models.",
      mediaType: JSON_TYPE,
      schema: z.object({ models: z.array(MODEL_VIEW) }),
    }],
    answer: ({ service }) => json({ models: modelViews(service) }),
  },
  {
    method: "POST",
    path: "/jobs",
    summary: "Ask for the segmentation of a case",
    description: "What is accepted is done, or listed as failed with its reason, whatever ends the service meanwhile.",
    bodies: { "multipart/form-data": MULTIPART_JOB, [JSON_TYPE]: JSON_JOB },
    answers: [
      { status: 202, description: "It is accepted.", mediaType: JSON_TYPE, schema: JOB_VIEW },
      problem(400, "The request is not well formed."),
      problem(403, "A path is not below a folder of --root."),
      problem(404, "There is no such model."),
      problem(408, "The body came too slowly, or stopped."),
      problem(413, "The body is too large."),
      problem(415, "The body, or an image, is of another type than is taken."),
      problem(503, "The queue is full, too much is being received, or the service is ending."),
      problem(507, "The disk, or the share of it that the service may use, is full."),
    ],
    answer: addJob,
  },
  {
    method: "GET",
    path: "/jobs",
    summary: "List the jobs, in the order they were accepted",
    query: [{ name: "state", description: "Only those in this state.", schema: z.enum(STATES) }],
    answers: [
      {
        status: 200,
        description: "The jobs.",
        mediaType: JSON_TYPE,
        schema: z.object({ jobs: z.array(JOB_VIEW) }),
      },
      problem(400, "There is no such state."),
    ],
    answer: ({ request: { query }, service: { queue } }) => {
      const state = oneOf(query, "state", STATES);
      return json({ jobs: queue.list().filter((job) => state === undefined || job.state === state) });
    },
  },
  {
    method: "GET",
    path: "/jobs/{id}",
    summary: "Tell how far a job is",
    answers: [{ status: 200, description: "The job.", mediaType: JSON_TYPE, schema: JOB_VIEW }, NO_JOB],
    answer: (call) => json(viewOf(call)),
  },
  {
    method: "GET",
    path: "/jobs/{id}/events",
    summary: "Tell how far a job is, again and again, until it has ended",
    description:
      "Server-sent events; the data of each `job` event is what /jobs/{id} gives. Of a cascade each stage has its " +
      "own progress.",
    answers: [{ status: 200, description: "Events.", mediaType: "text/event-stream" }, NO_JOB],
    answer: (call) => {
      viewOf(call);
      const { queue, ending } = call.service;
      return {
        status: 200,
        headers: { "content-type": "text/event-stream" },
        body: jobEvents(queue, call.id, AbortSignal.any([call.request.signal, ending])),
      };
    },
  },
  {
    method: "GET",
    path: "/jobs/{id}/result",
    summary: "Give a segmentation",
    query: [{
      name: "part",
      description:
        "The segmentation (default), the class probabilities (.npz) or the properties (.pkl) beside them; of TIFF volumes the voxel sizes (.json); of jobs with " +
        "view, image and segmentation as the page shows them (NIfTI); of those with output_format its formats by their names.",
      schema: z.enum(PARTS),
    }],
    answers: [
      { status: 200, description: "The file.", mediaType: "*/*" },
      problem(400, "There is no such part."),
      NO_JOB,
      problem(409, "The job has no result: not yet, or never."),
    ],
    answer: sendResult,
  },
  {
    method: "GET",
    path: "/jobs/{id}/report",
    summary: "Give the report of a job, as predict's --report writes it",
    answers: [
      { status: 200, description: "The report.", mediaType: JSON_TYPE, schema: z.looseObject({ outcome: z.string() }) },
      NO_JOB,
      problem(409, "The job has no report: not yet, or never."),
    ],
    answer: async (call) => {
      const { state } = viewOf(call);
      if (!isFinalState(state)) throw new HttpProblem(409, `the job is ${state}`);
      const file = join(call.service.reception.store.folderOf(call.id), "result", REPORT);
      const response = await fileResponse(file, { "content-type": JSON_TYPE });
      if (!response) throw new HttpProblem(409, `the job is ${state} and has no report`);
      return response;
    },
  },
  {
    method: "DELETE",
    path: "/jobs/{id}",
    summary: "Cancel a job that has not ended, or remove one that has, with its results",
    answers: [
      { status: 200, description: "It is cancelled.", mediaType: JSON_TYPE, schema: JOB_VIEW },
      { status: 204, description: "It is removed." },
      NO_JOB,
    ],
    answer: async (call) => {
      viewOf(call);
      const left = await call.service.queue.cancel(call.id);
      return left ? json(left) : { status: 204 };
    },
  },
  {
    method: "GET",
    path: "/metrics",
    summary: "Give counts for Prometheus",
    answers: [{ status: 200, description: "Its text format.", mediaType: "text/plain" }],
    answer: ({ service: { metrics } }) => ({
      status: 200,
      headers: { "content-type": "text/plain; version=0.0.4; charset=utf-8" },
      body: metrics(),
    }),
  },
  {
    method: "GET",
    path: "/openapi.json",
    summary: "Give this description as OpenAPI 3.1",
    open: true,
    answers: [{
      status: 200,
      description: "The description.",
      mediaType: JSON_TYPE,
      schema: z.looseObject({ openapi: z.string() }),
    }],
    answer: () => json(openApiDocument(ROUTES)),
  },
  {
    method: "GET",
    path: "/docs",
    summary: "Give this description as a page",
    open: true,
    answers: [{ status: 200, description: "The page.", mediaType: "text/html" }],
    answer: () => ({
      status: 200,
      headers: { "content-type": "text/html; charset=utf-8" },
      body: docsPage(ROUTES),
    }),
  },
];

async function addJob({ request, service: { reception, queue, ending } }: Call): Promise<HttpResponse> {
  if (ending.aborted) throw new HttpProblem(503, "the service is ending", { "retry-after": "30" });
  const full = () => new HttpProblem(503, "as many jobs wait as may", { "retry-after": "30" });
  if (queue.isFull) throw full();
  // Bodies that come slowly, or stop, keep nobody from the places.
  const { record: { id } } = await receiveJob(request, reception, (id) => {
    const place = queue.place(id);
    if (!place) throw full();
    return place;
  });
  const job = queue.added(id);
  return { ...json(job, 202), headers: { "content-type": JSON_TYPE, location: `/jobs/${id}` } };
}

/** @throws HttpProblem 404 */
function viewOf({ id, service: { queue } }: Call): JobView {
  const job = JOB_ID.test(id) ? queue.get(id) : undefined;
  if (job) return job;
  throw new HttpProblem(404, `there is no job ${quoted(id)}; results are removed some time after they were made`);
}

async function sendResult(call: Call): Promise<HttpResponse> {
  const { state, error } = viewOf(call);
  const { queue, reception: { store } } = call.service;
  const part = oneOf(call.request.query, "part", PARTS) ?? "segmentation";
  if (state !== "done") {
    throw new HttpProblem(409, error ? `the job has ${state}: ${error.message}` : `the job is ${state}`);
  }
  const name = (queue.record(call.id) as JobRecord).results?.[part];
  const option = part === "spacing"
    ? "images of TIFF volumes"
    : part.startsWith("view")
    ? "view"
    : isFormat(part)
    ? "output_format"
    : "save_probabilities";
  const missing = new HttpProblem(409, `the job was done without ${part} (${option})`);
  if (name === undefined) throw missing;
  const response = await fileResponse(join(store.folderOf(call.id), "result", name), {
    "content-type": mediaTypeOf(name),
    "content-disposition": `attachment; filename*=UTF-8''${encodeURIComponent(name)}`,
  });
  if (!response) throw missing;
  return response;
}

function isFormat(part: string): boolean {
  return OUTPUT_FORMATS.some((format) => format === part);
}

/** The value of a query's parameter, which may be left out. @throws HttpProblem 400 */
function oneOf<T extends string>(query: URLSearchParams, name: string, values: readonly T[]): T | undefined {
  const given = query.get(name);
  if (given === null) return undefined;
  const found = values.find((value) => value === given);
  if (found !== undefined) return found;
  throw new HttpProblem(400, `${name} is ${quoted(given)}; it may be ${values.join(", ")}`);
}

function modelViews({ reception: { models }, heldBytes }: Service): z.infer<typeof MODEL_VIEW>[] {
  return models.all.map(({ name, model, firstStage }) => ({
    name,
    dataset: model.plans.datasetName,
    configuration: model.configuration.name,
    trainer: model.trainerName,
    folds: model.folds.map((fold) => fold.name),
    channels: [...model.dataset.channelNames],
    file_ending: model.dataset.fileEnding,
    labels: Object.fromEntries([...model.dataset.labels.names].map(([label, text]) => [String(label), text])),
    regions: model.dataset.labels.regions.map(({ name, labels }) => ({ name, labels: [...labels] })),
    ...(firstStage && { first_stage: firstStage.name }),
    loaded: heldBytes(name) > 0,
  }));
}
