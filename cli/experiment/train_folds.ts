/** The trainings of `run`, one after the other; several runs share them, each fold being trained by one. */
import { Interrupted, UserError } from "../../core/base/errors.ts";
import { ensureFolder } from "../../core/base/files.ts";
import { isLocked, removeAbandonedLock, tryTakeLock } from "../../core/base/folder_lock.ts";
import { join } from "../../core/base/path.ts";
import { plural } from "../../core/base/plural.ts";
import { refuseStale } from "../../core/experiment/dataset_state.ts";
import { type Experiment, type FoldTask, taskName } from "../../core/experiment/experiment.ts";
import {
  claimOf,
  type FoldProgress,
  type FoldState,
  lookAtFold,
  lookAtFolds,
} from "../../core/experiment/fold_state.ts";
import { nextFold } from "../../core/experiment/next_fold.ts";
import { moveAside } from "../../core/experiment/redo.ts";
import { type EpochForecast, estimateTime } from "../../core/experiment/time_left.ts";
import { pause } from "../../core/preprocess/shared_data_folder.ts";
import type { TrainHooks, TrainRequest } from "../../core/train/train_request.ts";
import { TRAINING_LOCK } from "../../core/train/training_folder.ts";
import type { CommandContext, CountProgress } from "../commands/command.ts";
import type { RunValues } from "../flags/run_flags.ts";
import { diceText, type EngineOpener, epochFields, epochLine } from "../training_request.ts";
import { formatSeconds } from "../terminal.ts";
import { endLine, staleFolds } from "./overview_lines.ts";
import { LOOKING, STOPPED } from "./waiting.ts";

/** What a run of trainings has besides its flags. */
export interface TrainingRun {
  readonly experiment: Experiment;
  readonly values: RunValues;
  readonly context: CommandContext;
  readonly opener: EngineOpener;
  /** Of configurations without a measured epoch. */
  readonly forecasts: ReadonlyMap<string, EpochForecast>;
}

/** How the trainings ended. */
export interface TrainedFolds {
  readonly states: readonly FoldState[];
  /** Of this run; the user has been told. */
  readonly failed: ReadonlySet<string>;
}

/**
 * Trains until nothing is left that can be done here.
 * @throws Interrupted when the signal aborts, a checkpoint written; UserError where going on is in vain
 */
export async function trainFolds(run: TrainingRun): Promise<TrainedFolds> {
  const { experiment, values: { stale, noWait }, context } = run;
  const failed = new Set<string>();
  await ensureFolder(experiment.results, "making the results folder");
  for (let isWaiting = false;;) {
    const states = await settled(await lookAtFolds(experiment), stale, context);
    const next = nextFold(states, experiment, failed);
    if (next.kind === "end" || (next.kind === "wait" && noWait)) {
      for (const { task, folder } of states) {
        for (const lock of [claimOf(experiment, task), join(folder, TRAINING_LOCK)]) removeAbandonedLock(lock);
      }
      return { states, failed };
    }
    if (next.kind === "wait") {
      const names = next.busy.map(({ task }) => taskName(task)).join("; ");
      if (!isWaiting) context.print(`waiting for what other runs train: ${names}`);
      isWaiting = true;
      await pause(context.signal, LOOKING);
      continue;
    }
    isWaiting = false;
    await trainOne(run, next.state, failed);
    const now = await lookAtFolds(experiment);
    const end = endLine(now, estimateTime(now, experiment.recipe.epochs, run.forecasts), Date.now());
    if (end !== "") context.print(end);
    if (context.signal.aborted) throw new Interrupted(STOPPED);
  }
}

/** The states, nothing stale among them but what is to be kept. */
async function settled(
  states: readonly FoldState[],
  policy: RunValues["stale"],
  { print }: CommandContext,
): Promise<readonly FoldState[]> {
  const stale = states.filter((state) => state.stale.length > 0);
  if (policy === "keep" || stale.length === 0) return states;
  if (policy === "refuse") refuseStale(staleFolds(stale));
  const moved = new Set<FoldState>();
  for (const state of stale) {
    if (state.isBusy) continue;
    print(`${state.folder} is of an earlier state: moved to ${await moveAside(state.folder)}`);
    moved.add(state);
  }
  return states.map((state) => moved.has(state) ? { ...state, progress: { kind: "left" }, stale: [] } : state);
}

async function trainOne(run: TrainingRun, { task, folder }: FoldState, failed: Set<string>): Promise<void> {
  const { experiment, context, values } = run;
  using claim = tryTakeLock(claimOf(experiment, task));
  if (!claim) return;
  // Another run may have done it between the look and the claim. Its lock is ours now, so that it does not look busy.
  const { trainModel } = await import("../../core/train/train_model.ts");
  const name = taskName(task);
  const { progress } = await lookAtFold(experiment, task);
  if (progress.kind === "done" || isLocked(join(folder, TRAINING_LOCK))) return;
  const begin = performance.now();
  context.print(`${name}: ${startLine(progress)}`);
  context.event?.("fold", { configuration: task.configuration, fold: task.fold, state: "begun" });
  try {
    const { summary } = await trainModel(
      requestOf(run, task, startOf(progress, task, values)),
      hooksOf(name, task, values, context),
    );
    const dice = summary.foregroundMean.Dice;
    context.print(`${name}: done, Dice ${diceText(dice)}, ${formatSeconds((performance.now() - begin) / 1000)}`);
    context.event?.("fold", { configuration: task.configuration, fold: task.fold, state: "done", dice });
  } catch (error) {
    if (error instanceof Interrupted) throw new Interrupted(STOPPED);
    // A `train` that began at the same moment.
    if (error instanceof UserError && isLocked(join(folder, TRAINING_LOCK))) return;
    if (!(error instanceof UserError) || error.parts.endsRun) throw error;
    context.printError(`error: ${name}: ${error.message}`);
    context.event?.("fold", { configuration: task.configuration, fold: task.fold, state: "failed" });
    failed.add(name);
  }
}

function startOf(
  { kind }: FoldProgress,
  { configuration }: FoldTask,
  { pretrainedWeights: file, strict, configurations }: RunValues,
): TrainRequest["start"] {
  if (kind !== "left") return { kind: "continue" };
  // Not the earlier stage of a cascade, which comes with it.
  return file !== undefined && configurations?.includes(configuration)
    ? { kind: "pretrained", file, strict }
    : { kind: "new" };
}

function startLine(progress: FoldProgress): string {
  switch (progress.kind) {
    case "training":
      return `goes on after ${progress.epoch} of ${plural(progress.epochs, "epoch")}`;
    case "validation":
      return "is validated";
    default:
      return "is trained";
  }
}

function requestOf(
  { experiment, values, opener }: TrainingRun,
  { configuration, fold }: FoldTask,
  start: TrainRequest["start"],
): TrainRequest {
  const { raw, preprocessed, results, plansName, randomSplit, changes, seed, saveProbabilities } = experiment;
  return {
    task: {
      datasetName: raw.name,
      preprocessed,
      results,
      plansName,
      configurationName: configuration,
      fold,
      randomSplit,
    },
    trainerName: values.trainer,
    changes,
    seed,
    start,
    useBest: false,
    saveProbabilities,
    checkpointing: true,
    pictures: true,
    unpack: true,
    sampleThreads: values.sampleThreads,
    maxMemory: values.maxMemory,
    precision: values.precision,
    assumePlansNetwork: false,
    ...opener,
  };
}

function hooksOf(
  name: string,
  { configuration, fold }: FoldTask,
  { verbose }: RunValues,
  { print, warn, count, event, signal }: CommandContext,
): TrainHooks {
  let epochs: CountProgress | undefined;
  let cases: CountProgress | undefined;
  return {
    info: (message) => verbose && print(message),
    warn: (message) => warn(`${name}: ${message}`),
    onEpoch(progress) {
      event?.("epoch", { configuration, fold, ...epochFields(progress) });
      if (event) return;
      if (verbose) return print(epochLine(progress));
      epochs ??= count(`${name}: epochs`, "bar");
      epochs(progress.epoch + 1, progress.epochs);
    },
    onCase(done, of) {
      cases ??= count(`${name}: validation cases`, "bar");
      cases(done, of);
    },
    signal,
  };
}
