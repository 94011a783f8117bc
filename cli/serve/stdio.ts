/**
 * The same models over stdin and stdout, for programs that start this one: a JSON request a line, and lines back with the request's id.
 * cli/STDIO.md says what is asked and answered. No network is used.
 */
import { z } from "zod";
import { Interrupted, UserError } from "../../core/base/errors.ts";
import { problemsOf } from "../../core/base/fields.ts";
import { ensureFolder } from "../../core/base/files.ts";
import { heldFolderPath, holdFolder } from "../../core/base/held_folder.ts";
import { refuseOverwriting } from "../../core/base/overwriting.ts";
import { basename, dirname, join, resolve } from "../../core/base/path.ts";
import { probabilityPaths, RUN_FILES } from "../../core/predict/run/output_folder.ts";
import type { PredictionEvent } from "../../core/predict/run/request.ts";
import type { CommandContext } from "../commands/command.ts";
import { FIRST_STAGE_FOLDER, removeFirstStages } from "../engines/cascade.ts";
import { print } from "../terminal.ts";
import { isBelow } from "./allowed_paths.ts";
import type { AskedCase, NamedCase } from "./asked_case.ts";
import { JOB_OPTIONS } from "./job.ts";
import { filesByFormat, type Prediction, type Predictor } from "./predictor.ts";
import type { ServedModel, ServedModels } from "./served_models.ts";

const ID = z.union([z.string().max(200), z.int()], "expected a text or a whole number");
const PATH = z.string().min(1).max(4096);
const REQUEST = z.strictObject({
  id: ID,
  model: z.string().optional(),
  files: z.array(PATH).min(1).max(256).optional(),
  preprocessed: PATH.optional(),
  previous_stage: PATH.optional(),
  output: PATH,
  report: PATH.optional(),
  options: JOB_OPTIONS.default(JOB_OPTIONS.parse({})),
}).refine(
  ({ files, preprocessed }) => (files === undefined) !== (preprocessed === undefined),
  "either files or preprocessed is needed",
);
type Request = z.infer<typeof REQUEST>;
const CANCEL = z.strictObject({ cancel: ID });

const LINE_BYTES = 1 << 20;
const PROGRESS_MS = 100;

type Id = z.infer<typeof ID>;
type Say = (id: Id | null, type: string, fields: Readonly<Record<string, unknown>>) => void;

interface Waiting {
  readonly request: Request;
  readonly abort: AbortController;
  /** For what a first stage gives: a folder that is there while the request is answered. */
  readonly scratch: string;
}

/** Answers until stdin ends, or the program is told to end. */
export async function serveStdio(models: ServedModels, predictor: Predictor, context: CommandContext): Promise<void> {
  const say: Say = (id, type, fields) => print(JSON.stringify({ id, type, ...fields }));
  say(null, "ready", {
    engine: predictor.engine.description,
    models: models.all.map(({ name, model }) => ({
      name,
      channels: model.dataset.channelNames,
      file_ending: model.dataset.fileEnding,
    })),
  });
  const waiting: Waiting[] = [];
  const running = new Set<Waiting>();
  const cleaned = new Set<string>();
  let wake = Promise.withResolvers<void>();
  let isEnded = false;
  const { signal } = context;

  const wakeAll = () => {
    wake.resolve();
    if (!isEnded) wake = Promise.withResolvers();
  };
  const cancel = (id: Id) => {
    const at = waiting.findIndex(({ request }) => request.id === id);
    if (at >= 0) {
      waiting.splice(at, 1);
      say(id, "cancelled", {});
    } else for (const one of running) if (one.request.id === id) one.abort.abort();
  };
  const take = (line: string) => {
    if (line.trim() === "") return;
    const read = readRequest(line);
    if ("problem" in read) return say(read.id, "error", { doing: "reading the request", ...said(read.problem) });
    if ("cancel" in read) return cancel(read.cancel);
    const scratch = heldFolderPath(dirname(read.output), FIRST_STAGE_FOLDER);
    waiting.push({ request: read, abort: new AbortController(), scratch });
    wakeAll();
  };
  const stop = () => {
    isEnded = true;
    waiting.length = 0;
    for (const { abort } of running) abort.abort();
    wake.resolve();
  };
  signal.addEventListener("abort", stop);
  const reading = readLines(take, (problem) => say(null, "error", { doing: "reading the request", ...said(problem) }))
    .finally(() => {
      isEnded = true;
      wake.resolve();
    });
  reading.catch(() => {});
  const work = async () => {
    for (;;) {
      const current = waiting.shift();
      if (current) {
        running.add(current);
        await answer(current, models, predictor, { say, cleaned, next: () => waiting.at(0) })
          .finally(() => running.delete(current));
      } else if (isEnded) return;
      else await wake.promise;
    }
  };
  await Promise.all(Array.from({ length: predictor.places }, work));
}

const said = (problem: string) => ({ problem, message: `Reading the request: ${problem}.` });

function readRequest(
  line: string,
): Request | { readonly cancel: Id } | { readonly id: Id | null; readonly problem: string } {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return { id: null, problem: "it is no JSON in one line" };
  }
  const cancel = CANCEL.safeParse(value);
  if (cancel.success) return cancel.data;
  const request = REQUEST.safeParse(value);
  if (request.success) return request.data;
  const id = z.looseObject({ id: ID }).safeParse(value);
  return { id: id.success ? id.data.id : null, problem: problemsOf(request.error, value) };
}

interface Around {
  readonly say: Say;
  /** The request that waits the longest at the moment. */
  readonly next: () => Waiting | undefined;
  /** Folders that hold nothing any more of what killed runs have left. */
  readonly cleaned: Set<string>;
}

async function answer(
  one: Waiting,
  models: ServedModels,
  predictor: Predictor,
  { say, next, cleaned }: Around,
): Promise<void> {
  const { request, abort } = one;
  const { id, output, options } = request;
  try {
    const served = chosenModel(request.model, models);
    const { model } = served;
    const { fileEnding } = model.dataset;
    requireOutput(request, model);
    const folder = dirname(output);
    await ensureFolder(folder, "making the output folder");
    if (!cleaned.has(folder)) await removeFirstStages(folder);
    cleaned.add(folder);
    const prediction = await predictHeld(predictor, {
      ...namedCase(one, served),
      next: () => nextCase(one, next(), models),
      onEvent: sayProgress(id, say),
      signal: abort.signal,
    });
    if (prediction.kind === "failed") return sayError(id, prediction.error, say);
    const { firstStageSeconds } = prediction;
    const { labels, timings } = prediction.state.done[0];
    const { npz, pkl } = probabilityPaths(output, fileEnding);
    say(id, "result", {
      output,
      ...(options.save_probabilities && { probabilities: npz, properties: pkl }),
      ...(options.output_format && { outputs: outputsByFormat(request, fileEnding) }),
      labels,
      seconds: { ...(firstStageSeconds !== undefined && { first_stage: firstStageSeconds }), ...timings },
    });
  } catch (error) {
    if (error instanceof Interrupted) return say(id, "cancelled", {});
    if (!(error instanceof UserError)) throw error;
    sayError(id, error, say);
  }
}

/** Whoever is told of a result finds nothing else beside it. */
async function predictHeld(predictor: Predictor, asked: AskedCase): Promise<Prediction> {
  const { firstStage } = asked;
  await using _held = firstStage
    ? await holdFolder(firstStage.folder, "keeping the first stage's segmentation")
    : undefined;
  return await predictor.predict(asked);
}

function namedCase(key: Waiting, { model, details, firstStage }: ServedModel): NamedCase {
  const { files = [], preprocessed, previous_stage: previousStageFile, output, options, report } = key.request;
  return {
    key,
    model,
    ...(firstStage && !previousStageFile && { firstStage: { model: firstStage.model, folder: key.scratch } }),
    ...(previousStageFile !== undefined && { previousStageFile }),
    options,
    details,
    files,
    ...(preprocessed !== undefined && { stored: { folder: dirname(preprocessed), id: basename(preprocessed) } }),
    output,
    ...(report !== undefined && { report }),
  };
}

/** What may be read while another case is done: no result of that one. */
function nextCase(present: Waiting, next: Waiting | undefined, models: ServedModels): NamedCase | undefined {
  if (!next) return undefined;
  const { files = [], preprocessed, previous_stage, model } = next.request;
  const read = [...files, ...(previous_stage === undefined ? [] : [previous_stage])];
  const found = model === undefined ? models.all.at(0) : models.find(model);
  const results = dirname(resolve(present.request.output));
  const isResult = (file: string) => resolve(file) === results || isBelow(results, resolve(file));
  if (!found || preprocessed !== undefined || read.some(isResult)) return undefined;
  return namedCase(next, found);
}

function sayError(id: Id, error: UserError, say: Say): void {
  const { caseId, ...parts } = error.parts;
  say(id, "error", { message: error.message, ...(caseId !== undefined && { case: caseId }), ...parts });
}

function sayProgress(id: Id, say: Say): (event: PredictionEvent) => void {
  let begun = 0;
  let last = -Infinity;
  return (event) => {
    const now = performance.now();
    if (event.kind === "case") begun = now;
    if (event.kind === "warning") return say(id, "warning", { message: event.message });
    if (event.kind !== "progress") return;
    const { done, of } = event;
    if (done < of && now - last < PROGRESS_MS) return;
    last = now;
    say(id, "progress", { done, of, seconds_left: (now - begun) / 1000 / done * (of - done) });
  };
}

function chosenModel(name: string | undefined, models: ServedModels): ServedModel {
  const found = name === undefined ? (models.all.length === 1 ? models.all[0] : undefined) : models.find(name);
  if (found) return found;
  const problem = name === undefined ? "several models are served" : `there is no model ${name}`;
  const remedy = `say one of ${models.all.map((one) => one.name).join(", ")} as the request's model`;
  throw new UserError({ doing: "choosing the model", problem, remedy });
}

/** No file of the model's, and no image, is written over. */
function requireOutput(request: Request, model: ServedModel["model"]): void {
  const { files = [], previous_stage, output, report, options } = request;
  const { fileEnding } = model.dataset;
  const doing = "choosing the output file";
  if (!output.endsWith(fileEnding) || basename(output) === fileEnding) {
    const problem = `it does not end with ${fileEnding}, which this model reads and writes`;
    throw new UserError({ doing, file: output, problem, remedy: "give it that ending" });
  }
  const { npz, pkl } = probabilityPaths(output, fileEnding);
  const outputs = new Set([
    output,
    ...(options.save_probabilities ? [npz, pkl] : []),
    ...(report === undefined ? [] : [report]),
    ...Object.values(outputsByFormat(request, fileEnding)),
  ]);
  const inputs = [
    ...RUN_FILES.map((name) => ({ path: join(model.folder, name), what: `the model's ${name}` })),
    ...model.folds.map(({ file }) => ({ path: file, what: "the model's checkpoint" })),
    ...files.map((path) => ({ path, what: "an input image" })),
    ...(previous_stage === undefined ? [] : [{ path: previous_stage, what: "the previous stage's segmentation" }]),
  ];
  refuseOverwriting(inputs, [...outputs].map((path) => ({ path, what: "the result" })), {
    doing,
    remedy: "name another file as the request's output",
  });
}

function outputsByFormat({ output, options }: Request, fileEnding: string): Record<string, string> {
  const files = filesByFormat(output, fileEnding);
  return Object.fromEntries(options.output_format?.map((format) => [format, files[format]]) ?? []);
}

/** @param onLong Is told of a line that is too long, which is passed over */
async function readLines(take: (line: string) => void, onLong: (problem: string) => void): Promise<void> {
  const decoder = new TextDecoder();
  let held = "";
  let isLong = false;
  for await (const piece of Deno.stdin.readable) {
    const lines = (held + decoder.decode(piece, { stream: true })).split("\n");
    held = lines.pop() ?? "";
    for (const line of lines) {
      if (!isLong) take(line);
      isLong = false;
    }
    if (held.length <= LINE_BYTES) continue;
    if (!isLong) onLong(`a line has more than ${LINE_BYTES} characters`);
    isLong = true;
    held = "";
  }
  if (!isLong) take(held);
}
