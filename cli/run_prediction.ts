/** Runs one prediction from checked flags to the exit code: model, cases, engine, predictor, report. */
import { plural } from "../core/base/plural.ts";
import { Interrupted, messageOf, UserError } from "../core/base/errors.ts";
import { ensureFolder } from "../core/base/files.ts";
import { dirname, join } from "../core/base/path.ts";
import { statOrNull } from "../core/base/stat_or_null.ts";
import type { DatasetJson } from "../core/dataset/dataset_json.ts";
import type { ReaderName } from "../core/formats/image/image.ts";
import type { FailedMeasurement } from "../core/measure/measure_cases.ts";
import { classesOfDataset } from "../core/measure/measured_classes.ts";
import { type Model, openModel } from "../core/predict/model/model_folder.ts";
import { predictCases } from "../core/predict/run/predict_cases.ts";
import type { ObjectDetails } from "../core/predict/run/case_outputs.ts";
import type { RunRequest } from "../core/predict/run/predict_with.ts";
import type { PredictionEvent, PredictionHooks, PredictionSummary } from "../core/predict/run/request.ts";
import type { Part } from "./array_part.ts";
import type { CommandContext } from "./commands/command.ts";
import { openEngines } from "./engines/run_engines.ts";
import { type ChosenEngine, type EngineWish, engineWish, type StartHooks } from "./engines/select_engine.ts";
import { wantedGpus } from "./engines/wanted_gpus.ts";
import { sayFailedCase } from "./event_log.ts";
import { foldName } from "./flags/forms.ts";
import type { PredictValues } from "./flags/predict_flags.ts";
import { type GpuRunsOptions, openGpuThreads } from "./gpus/open_threads.ts";
import { asksForMeasuring, checkMesh, checkStatisticsPlace, measureResults } from "./measuring.ts";
import { objectDetails } from "./output_files.ts";
import { planCases, type PlannedCases } from "./plan_cases.ts";
import { createPredictionProgress } from "./prediction_progress.ts";
import { commandLineOf, createGrowingReport, failedCase, newReportState, type ReportState } from "./report.ts";
import { refuseReport } from "./report_place.ts";
import { formatSeconds } from "./terminal.ts";
import { viewHint } from "./viewing/view_hint.ts";

export interface PredictionJob {
  readonly values: PredictValues;
  /** Which of the cases are this run's. */
  readonly part: Part;
  readonly context: CommandContext;
  /** The model's folder. */
  findModel(): Promise<string>;
  /** Ids of cases that are done. */
  readonly leaveOut?: ReadonlySet<string>;
  /** True: at the end it says how to look at a segmentation. */
  readonly tellsView?: boolean;
}

/** Predicts; true if every case is done. @throws UserError, Interrupted */
export async function runPrediction(job: PredictionJob): Promise<boolean> {
  const { values, context } = job;
  const state = newReportState(commandLineOf(context));
  if (values.report !== undefined) {
    // A model that is not found is an error of its own, and the report's to tell.
    const model = await job.findModel().catch(() => undefined);
    await refuseReport(values.report, [values.input, values.previousStage, model]);
  }
  await checkStatisticsPlace(values, [values.input, values.previousStage]);
  const report = values.report === undefined ? undefined : createGrowingReport(values.report, state, context.warn);
  // Written once at the start, so that a place that cannot be written to is found before the work and not after it.
  await report?.begin();
  let unmeasured: readonly FailedMeasurement[] = [];
  try {
    const results = await predictAll(job, state, () => report?.grow());
    if (asksForMeasuring(values)) unmeasured = await measure(job, results);
  } catch (error) {
    try {
      await report?.fail(error);
    } catch (second) {
      // What went wrong first matters more.
      context.printError(`error: ${messageOf(second)}`);
    }
    throw error;
  }
  if (job.tellsView && !values.quiet) await tellView(state, context);
  const failed = state.failed.length;
  state.failed.push(...unmeasured.map(({ id, error }) => ({ id, error: error.parts, message: error.message })));
  await report?.end(state.failed.length > 0 ? "some cases failed" : "done");
  if (failed > 0) {
    const total = failed + state.done.length + state.skipped.length;
    context.printError(
      `${failed} of ${plural(total, "case")} could not be predicted: ${state.failed.map(({ id }) => id).join(", ")}` +
        (values.report === undefined ? " (--report FILE writes them and why as JSON)" : ` (see ${values.report})`),
    );
  }
  if (unmeasured.length > 0) {
    const ids = unmeasured.map(({ id }) => id).join(", ");
    context.printError(`${plural(unmeasured.length, "segmentation")} could not be measured: ${ids}`);
  }
  return state.failed.length === 0;
}

/** What is left of a prediction when its model is closed. */
interface Results {
  readonly planned: PlannedCases;
  readonly dataset: DatasetJson;
  readonly reader: ReaderName;
}

async function measure(
  { values, part, context }: PredictionJob,
  { planned, dataset, reader }: Results,
): Promise<readonly FailedMeasurement[]> {
  const { outputFolder } = planned;
  return await measureResults(values, {
    cases: planned.cases,
    all: planned.all,
    fileEnding: dataset.fileEnding,
    reader,
    classes: classesOfDataset(dataset),
    channelNames: dataset.channelNames,
    ...(outputFolder !== undefined && { records: outputFolder }),
    isShared: values.share || part.parts > 1,
    share: values.share,
  }, context);
}

/** Says how to look at the first case that was done. */
async function tellView({ done, model }: ReportState, { print }: CommandContext): Promise<void> {
  const [first] = done;
  if (!first || !model || first.files.length === 0) return;
  const { id, files: [image], output } = first;
  const beside = await statOrNull(join(dirname(output), "dataset.json"), "looking for the names of the classes");
  const names = beside === null ? { datasetFile: join(model.folder, "dataset.json") } : {};
  print(viewHint({ id, image, segmentations: [output], ...names }));
}

type Say = (line: string) => void;

/** @param onCase Called when a case is done or has failed */
async function predictAll(job: PredictionJob, state: ReportState, onCase: () => void): Promise<Results> {
  const { values, context } = job;
  const { signal } = context;
  const say: Say = (line) => {
    if (!values.quiet) context.print(line);
  };
  if (values.verbose) {
    for (const { name, value, why } of context.environment.unused) say(`${name}=${value} is not used: ${why}`);
  }
  using model = await openModel(await job.findModel(), {
    folds: values.folds.map(foldName),
    checkpointName: values.checkpoint,
    assumePlansNetwork: values.assumePlansNetwork,
  });
  checkMesh(values, model.plans.reader);
  noteModel(model, values, state);
  say(describeModel(model));
  const warn = (line: string) => {
    state.warnings.push(line);
    context.warn(line);
  };
  const planned = await planCases(values, job.part, model, job.leaveOut);
  const { datasetName } = model.plans;
  const name = `${datasetName}, ${model.configuration.name}`;
  const details = await objectDetails(values, model.dataset, { dataset: datasetName, name }, warn);
  planned.warnings.forEach(warn);
  for (const failure of planned.failures) {
    const failed = failedCase(failure);
    state.failed.push(failed);
    sayFailedCase(failed, context);
  }
  if (values.share && planned.outputFolder === undefined) {
    throw new UserError({
      doing: "sharing the cases",
      file: values.output,
      problem: "-o names one file, and --share is for a folder of several cases",
      remedy: "leave --share out, or name a folder",
    });
  }
  say(describeCases(planned, values, job.part));
  const results: Results = { planned, dataset: model.dataset, reader: model.plans.reader };
  if (planned.cases.length === 0) return results;
  await ensureFolder(planned.outputFolder ?? dirname(planned.cases[0].output), "making the output folder");
  if (signal.aborted) throwStopped(planned, state);

  const show = createPredictionProgress(context, {
    quiet: values.quiet,
    verbose: values.verbose,
    bar: !values.disableProgressBar,
  });
  const filesOf = new Map(planned.cases.map(({ id, files }) => [id, files]));
  const onEvent = (event: PredictionEvent) => {
    const told = withFiles(event, filesOf);
    record(told, state);
    show(told);
    if (told.kind === "done" || told.kind === "failed") onCase();
  };
  const hooks = { onEvent, signal };
  const request = runRequest(job, model, { ...planned, details });
  const gpus = await wantedGpus(values, { warn, event: context.event });
  const wish = { ...engineWish(values), ...(gpus && { gpu: gpus[0] }) };
  const { maxMemory } = values;
  const predict = gpus && gpus.length > 1
    ? () => predictOnGpus(request, hooks, { wish, gpus, maxMemory, hooks: { say, warn } }, state, context)
    : () => predictOnOne(request, hooks, wish, state, { say, warn });
  await predictPlanned(predict, planned, state, say);
  return results;
}

async function predictOnOne(
  request: RunRequest,
  hooks: PredictionHooks,
  wish: EngineWish,
  state: ReportState,
  { say, warn }: Required<StartHooks>,
): Promise<PredictionSummary> {
  await using engines = await openEngines(wish, {
    say,
    warn,
    onChange(chosen, why) {
      warn(why);
      noteEngine(chosen, state, say);
    },
  });
  noteEngine(engines.current, state, say);
  const { engine, precision, precisionCache } = engines.current;
  const options = { ...request.options, precision, precisionCache };
  return await predictCases({ ...request, engine, options, recover: engines.recover, renew: engines.renew }, hooks);
}

/** Cases shared by several GPUs. */
async function predictOnGpus(
  request: RunRequest,
  hooks: PredictionHooks,
  options: GpuRunsOptions,
  state: ReportState,
  { event }: CommandContext,
): Promise<PredictionSummary> {
  await using threads = await openGpuThreads({
    ...options,
    onFailure: (failure) => event?.("gpu_failed", { ...failure }),
  });
  const { engine } = threads;
  noteEngine({ engine, reason: "", overridden: false, precision: engine.precision }, state, options.hooks.say);
  return await threads.runs.predictAll(request, hooks);
}

async function predictPlanned(
  predict: () => Promise<PredictionSummary>,
  planned: PlannedCases,
  state: ReportState,
  say: Say,
): Promise<void> {
  try {
    const { done, failed, skipped, seconds, steps } = await predict();
    state.skipped.push(...skipped);
    state.steps = steps;
    if (done.length > 0) say(`${plural(done.length, "case")} in ${formatSeconds(seconds)}`);
    else if (failed.length === 0) say("nothing is left to do: all cases are predicted");
  } catch (error) {
    if (error instanceof Interrupted) throwStopped(planned, state);
    throw error;
  }
}

function noteModel(model: Model, { assumePlansNetwork }: PredictValues, state: ReportState): void {
  state.model = model;
  if (!assumePlansNetwork) return;
  state.overrides.push({
    flag: "--assume_plans_network",
    what: `the network of plans.json is taken for the trainer ${model.trainerName}`,
  });
}

/** Says which engine computes from now on, and keeps it for the report. */
function noteEngine(
  chosen: Pick<ChosenEngine, "reason" | "overridden" | "precision" | "reasonSaid"> & Pick<ReportState, "engine">,
  state: ReportState,
  say: Say,
): void {
  const { engine, reason, overridden, precision } = chosen;
  if (!engine) return;
  state.engine = engine;
  state.engineReason = reason;
  state.precision = precision;
  if (overridden) state.overrides.push({ flag: "--allow_cpu", what: reason });
  const stored = engine.kind === "cpu" || precision === "f32"
    ? ""
    : `, ${precision === "auto" ? "f16 or f32" : precision}`;
  say(`engine: ${engine.description}${stored}${reason && !chosen.reasonSaid ? ` (${reason})` : ""}`);
}

/** Errors about a case as a whole know no file: then all of the case's are named. */
export function withFiles(event: PredictionEvent, filesOf: ReadonlyMap<string, readonly string[]>): PredictionEvent {
  if (event.kind !== "failed" || event.error.file !== undefined) return event;
  const error = new UserError({ ...event.error, file: filesOf.get(event.id)?.join(", ") });
  return { ...event, error: error.parts, message: error.message };
}

/** Keeps what happened for the report. */
function record(event: PredictionEvent, state: ReportState): void {
  if (event.kind === "done") state.done.push(event.record);
  if (event.kind === "failed") state.failed.push({ id: event.id, error: event.error, message: event.message });
  if (event.kind === "precision") {
    state.precision = event.precision;
    state.precisionReason = event.why;
  }
}

function runRequest(
  { values, part: { parts, part } }: PredictionJob,
  model: Model,
  planned: PlannedCases & { readonly details?: ObjectDetails },
): RunRequest {
  const npp = values.npp ?? 3;
  return {
    model,
    cases: planned.cases,
    outputFolder: planned.outputFolder,
    details: planned.details,
    arguments: {
      list_of_lists_or_source_folder: values.input,
      output_folder_or_list_of_truncated_output_files: values.output,
      save_probabilities: values.saveProbabilities,
      overwrite: !values.continuePrediction && !values.share,
      num_processes_preprocessing: npp,
      num_processes_segmentation_export: values.nps ?? 3,
      folder_with_segs_from_prev_stage: values.previousStage ?? null,
      num_parts: parts,
      part_id: part,
    },
    options: {
      stepSize: values.stepSize,
      mirroring: !values.disableTta,
      saveProbabilities: values.saveProbabilities,
      continuePrediction: values.continuePrediction,
      share: values.share,
      nonFinite: values.nonFinite ?? "refuse",
      maxMemory: values.maxMemory,
      overlap: npp > 0,
      checksums: values.report !== undefined,
    },
  };
}

/** A line that names the model. */
export function describeModel(model: Model): string {
  const folds = model.folds.map(({ name }) => name).join(" ");
  return `model: ${model.plans.datasetName}, ${model.trainerName}, ${model.configuration.name}, ` +
    `fold${model.folds.length > 1 ? "s" : ""} ${folds} (nnU-Net: Isensee et al., Nature Methods 18, 203-211, 2021)`;
}

function describeCases(planned: PlannedCases, { input }: PredictValues, { parts, part, from }: Part): string {
  const { cases, failures, listed } = planned;
  const count = cases.length + failures.length;
  const share = parts > 1 ? `, of ${listed} (part ${part} of 0 to ${parts - 1}${from ? `, by ${from}` : ""})` : "";
  const nothing = count === 0 ? "; nothing to do in this part" : "";
  return `cases: ${count} in ${input}${share}${nothing}`;
}

function throwStopped(planned: PlannedCases, state: ReportState): never {
  const { done } = state;
  const all = planned.cases.length;
  const shown = done.slice(0, 10).map(({ id }) => id).join(", ") + (done.length > 10 ? ", ..." : "");
  throw new Interrupted(
    `stopped: ${done.length} of ${plural(all, "case")} ${all === 1 ? "is" : "are"} done${
      done.length ? ` (${shown})` : ""
    }, nothing half-written is left; the same command with --continue_prediction goes on with the others`,
  );
}
