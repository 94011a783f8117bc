/** Runs one prediction from checked flags to the exit code: model, cases, engine, predictor, report. */
import { Interrupted, UserError } from "../core/base/errors.ts";
import { ensureFolder } from "../core/base/files.ts";
import { dirname } from "../core/base/path.ts";
import type { Environment } from "../core/dataset/environment.ts";
import { type Model, openModel } from "../core/predict/model/model_folder.ts";
import { predictCases } from "../core/predict/run/predict_cases.ts";
import type { PredictionEvent, PredictionRequest } from "../core/predict/run/request.ts";
import { listenForInterrupts } from "./interrupt.ts";
import { planCases, type PlannedCases } from "./plan_cases.ts";
import type { PredictValues } from "./flags/predict_flags.ts";
import { createProgress, type Progress } from "./progress.ts";
import { failedCase, type ReportState, writeReport } from "./report.ts";
import { followEngines, type RunEngines } from "./engines/run_engines.ts";
import { type ChosenEngine, selectEngine } from "./engines/select_engine.ts";
import { formatSeconds, print, printError } from "./terminal.ts";

export interface PredictionJob {
  readonly values: PredictValues;
  readonly commandLine: readonly string[];
  readonly environment: Environment;
  /** The model's folder. */
  findModel(): Promise<string>;
}

/** Predicts; exit code 0 if every case is done. @throws UserError, Interrupted */
export async function runPrediction(job: PredictionJob): Promise<number> {
  const { values } = job;
  const state: ReportState = {
    commandLine: job.commandLine,
    started: new Date(),
    precision: "f32",
    engineReason: "",
    overrides: [],
    warnings: [],
    done: [],
    skipped: [],
    failed: [],
    steps: [],
  };
  checkFlags(values);
  // Written once at the start, so that a place that cannot be written to is found before the work and not after it.
  if (values.report !== undefined) await writeReport(values.report, state, "running");
  try {
    await predictAll(job, state);
  } catch (error) {
    try {
      if (values.report !== undefined) await reportFailure(values.report, state, error);
    } catch (second) {
      // What went wrong first matters more.
      printError(`error: ${second instanceof Error ? second.message : second}`);
    }
    throw error;
  }
  const failed = state.failed.length;
  if (values.report !== undefined) await writeReport(values.report, state, failed ? "some cases failed" : "done");
  if (failed > 0) {
    const total = failed + state.done.length + state.skipped.length;
    printError(
      `${failed} of ${total} cases could not be predicted: ${state.failed.map(({ id }) => id).join(", ")}` +
        (values.report === undefined ? " (--report FILE writes them and why as JSON)" : ` (see ${values.report})`),
    );
  }
  return failed > 0 ? 1 : 0;
}

async function predictAll(job: PredictionJob, state: ReportState): Promise<void> {
  const { values } = job;
  using progress = createProgress({
    quiet: values.quiet,
    verbose: values.verbose,
    bar: !values.disableProgressBar,
  });
  using interruption = listenForInterrupts(() => progress.clear());
  const say = (line: string) => {
    if (!values.quiet) print(line);
  };
  if (values.verbose) {
    for (const { name, value, why } of job.environment.unused) say(`${name}=${value} is not used: ${why}`);
  }

  const folder = await job.findModel();
  using model = await openModel(folder, {
    folds: foldNames(values.folds),
    checkpointName: values.checkpoint,
    assumePlansNetwork: values.assumePlansNetwork,
  });
  state.model = model;
  if (values.assumePlansNetwork) {
    state.overrides.push({
      flag: "--assume_plans_network",
      what: `the network of plans.json is taken for the trainer ${model.trainerName}`,
    });
  }
  say(describeModel(model));

  const planned = await planCases(values, model);
  for (const warning of planned.warnings) {
    state.warnings.push(warning);
    progress.warn(warning);
  }
  for (const failure of planned.failures) {
    state.failed.push(failedCase(failure));
    printError(`error: ${failure.message}`);
  }
  say(describeCases(planned, values));
  if (planned.cases.length === 0) return;
  await ensureFolder(planned.outputFolder ?? dirname(planned.cases[0].output), "making the output folder");
  throwIfStopped(interruption.signal, planned, state);

  const warn = (line: string) => {
    state.warnings.push(line);
    progress.warn(line);
  };
  // Bit-equal results cannot depend on a trial.
  const { precision } = values;
  const wish = { ...values, precision: values.deterministic && precision === "auto" ? "f32" as const : precision };
  await using engines = followEngines(await selectEngine(wish, { say, warn }), wish, {
    say,
    warn,
    onChange(chosen, why) {
      warn(why);
      noteEngine(chosen, state, say);
    },
  });
  noteEngine(engines.current, state, say);

  const request = predictionRequest(job, model, planned, engines);
  const filesOf = new Map(planned.cases.map(({ id, files }) => [id, files]));
  const onEvent = (event: PredictionEvent) => record(withFiles(event, filesOf), state, progress);
  try {
    const hooks = { onEvent, signal: interruption.signal };
    const summary = await predictCases(request, hooks);
    state.skipped.push(...summary.skipped);
    state.steps = summary.steps;
    progress.clear();
    const done = summary.done.length;
    if (done > 0) {
      say(`${done} cases in ${formatSeconds(summary.seconds)}`);
    } else if (summary.failed.length === 0) {
      say("nothing is left to do: all cases are predicted");
    }
  } catch (error) {
    progress.clear();
    if (error instanceof Interrupted) throwStopped(planned, state);
    throw error;
  }
}

/** Says which engine computes from now on, and keeps it for the report. */
function noteEngine({ engine, reason, overridden, precision }: ChosenEngine, state: ReportState, say: Say): void {
  state.engine = engine;
  state.engineReason = reason;
  state.precision = precision;
  if (overridden) state.overrides.push({ flag: "--allow_cpu", what: reason });
  const stored = engine.kind === "cpu" || precision === "f32"
    ? ""
    : `, ${precision === "auto" ? "f16 or f32" : precision}`;
  say(`engine: ${engine.description}${stored}${reason ? ` (${reason})` : ""}`);
}

type Say = (line: string) => void;

/** Errors about a case as a whole know no file: then all of the case's are named. */
function withFiles(event: PredictionEvent, filesOf: ReadonlyMap<string, readonly string[]>): PredictionEvent {
  if (event.kind !== "failed" || event.error.file !== undefined) return event;
  const error = new UserError({ ...event.error, file: filesOf.get(event.id)?.join(", ") });
  return { ...event, error: error.parts, message: error.message };
}

/** Keeps what happened for the report, then shows it. */
function record(event: PredictionEvent, state: ReportState, progress: Progress): void {
  if (event.kind === "done") state.done.push(event.record);
  if (event.kind === "failed") state.failed.push({ id: event.id, error: event.error, message: event.message });
  if (event.kind === "precision") {
    state.precision = event.precision;
    state.precisionReason = event.why;
  }
  progress.onEvent(event);
}

function predictionRequest(
  { values, environment }: PredictionJob,
  model: Model,
  planned: PlannedCases,
  engines: RunEngines,
): PredictionRequest {
  const { engine, precision, precisionCache } = engines.current;
  const npp = values.npp ?? environment.npp ?? 3;
  return {
    engine,
    model,
    cases: planned.cases,
    outputFolder: planned.outputFolder,
    arguments: {
      list_of_lists_or_source_folder: values.input,
      output_folder_or_list_of_truncated_output_files: values.output,
      save_probabilities: values.saveProbabilities,
      overwrite: !values.continuePrediction,
      num_processes_preprocessing: npp,
      num_processes_segmentation_export: values.nps ?? environment.nps ?? 3,
      folder_with_segs_from_prev_stage: values.previousStage ?? null,
      num_parts: values.parts,
      part_id: values.part,
    },
    options: {
      stepSize: values.stepSize,
      mirroring: !values.disableTta,
      saveProbabilities: values.saveProbabilities,
      continuePrediction: values.continuePrediction,
      nonFinite: values.nonFinite ?? "refuse",
      maxMemory: values.maxMemory,
      overlap: npp > 0,
      checksums: values.report !== undefined,
      precision,
      precisionCache,
    },
    recover: engines.recover,
  };
}

/** What argparse cannot check. @throws UserError */
function checkFlags(values: PredictValues): void {
  const doing = "reading the command line";
  const { stepSize, parts, part, threads } = values;
  if (!(stepSize > 0 && stepSize <= 1)) {
    throw new UserError({
      doing,
      problem: `-step_size is ${stepSize}; it must be above 0 and at most 1`,
      remedy: "0.5 is the default",
    });
  }
  if (parts < 1 || part < 0 || part >= parts) {
    throw new UserError({
      doing,
      problem: `-num_parts ${parts} with -part_id ${part}: there must be at least one part, and its number is 0 to ${
        Math.max(parts, 1) - 1
      }`,
    });
  }
  if (threads !== undefined && threads < 1) {
    throw new UserError({ doing, problem: `--threads is ${threads}; at least 1 is needed` });
  }
}

/** `-f`: integers or "all". @throws UserError */
function foldNames(folds: readonly string[]): string[] {
  return folds.map((fold) => {
    if (fold === "all") return fold;
    if (/^\s*\+?\d+\s*$/.test(fold)) return String(Number(fold));
    throw new UserError({
      doing: "reading the command line",
      problem: `-f ${fold}: a fold is a number or \`all\``,
    });
  });
}

function describeModel(model: Model): string {
  const folds = model.folds.map(({ name }) => name).join(" ");
  return `model: ${model.plans.datasetName}, ${model.trainerName}, ${model.configuration.name}, ` +
    `fold${model.folds.length > 1 ? "s" : ""} ${folds} (nnU-Net: Isensee et al., Nature Methods 18, 203-211, 2021)`;
}

function describeCases({ cases, failures, listed }: PlannedCases, { input, parts, part }: PredictValues): string {
  const count = cases.length + failures.length;
  const share = parts > 1 ? `, of ${listed} (part ${part} of 0 to ${parts - 1})` : "";
  const nothing = count === 0 ? "; nothing to do in this part" : "";
  return `cases: ${count} in ${input}${share}${nothing}`;
}

function throwIfStopped(signal: AbortSignal, planned: PlannedCases, state: ReportState): void {
  if (signal.aborted) throwStopped(planned, state);
}

function throwStopped(planned: PlannedCases, state: ReportState): never {
  const { done } = state;
  const shown = done.slice(0, 10).map(({ id }) => id).join(", ") + (done.length > 10 ? ", ..." : "");
  throw new Interrupted(
    `stopped: ${done.length} of ${planned.cases.length} cases are done${done.length ? ` (${shown})` : ""}, nothing ` +
      "half-written is left; the same command with --continue_prediction goes on with the others",
  );
}

async function reportFailure(path: string, state: ReportState, error: unknown): Promise<void> {
  if (error instanceof Interrupted) return await writeReport(path, state, "interrupted");
  const message = error instanceof Error ? error.message : String(error);
  const parts = error instanceof UserError ? error.parts : { doing: "predicting", problem: message };
  await writeReport(path, state, "failed", { ...parts, message });
}
