/**
 * The trainings of `run`: one after the other, or one on each of several GPUs; several runs share them, each fold being trained by one.
 */
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
import type { ReadingLane } from "../../core/predict/run/run_memory.ts";
import type { TrainHooks, TrainRequest } from "../../core/train/train_request.ts";
import { trainingLane } from "../../core/train/training_memory.ts";
import { TRAINING_LOCK } from "../../core/train/training_folder.ts";
import type { AdapterChoice } from "../../gpu/adapter.ts";
import type { CommandContext, CountProgress } from "../commands/command.ts";
import type { RunValues } from "../flags/run_flags.ts";
import type { FoldRequest } from "../gpus/fold_messages.ts";
import { mayUseCpu } from "../engines/select_engine.ts";
import type { EngineOpener } from "../engines/training_engines.ts";
import { GpuFailed, MOST_FAILURES, MOST_LOST, trainBeside } from "../gpus/fold_thread.ts";
import { diceText, engineOpener, epochFields, epochLine } from "../training_request.ts";
import { formatSeconds } from "../terminal.ts";
import { endLine, staleFolds } from "./overview_lines.ts";
import { LOOKING, STOPPED } from "./waiting.ts";

/** What a run of trainings has besides its flags. */
export interface TrainingRun {
  readonly experiment: Experiment;
  readonly values: RunValues;
  readonly context: CommandContext;
  readonly opener: EngineOpener;
  /** Those that train, each a fold, where there are several. */
  readonly gpus?: readonly AdapterChoice[];
  /** Of configurations without a measured epoch. */
  readonly forecasts: ReadonlyMap<string, EpochForecast>;
}

/** How the trainings ended. */
export interface TrainedFolds {
  readonly states: readonly FoldState[];
  /** Of this run; the user has been told. */
  readonly failed: ReadonlySet<string>;
}

/** Where a fold is trained: in this thread, on an engine of the opener, or in one with a GPU of its own. */
interface Lane {
  readonly gpu?: AdapterChoice;
  readonly opener: EngineOpener;
  failures: number;
  /** Names of folds that its GPU failed at: they are for others. */
  readonly lost: Set<string>;
}

const laneOf = (opener: EngineOpener, gpu?: AdapterChoice): Lane => {
  return { opener, ...(gpu && { gpu }), failures: 0, lost: new Set() };
};

/**
 * Trains until nothing is left that can be done here.
 * @throws Interrupted when the signal aborts, a checkpoint written; UserError where going on is in vain
 */
export async function trainFolds(run: TrainingRun): Promise<TrainedFolds> {
  const { experiment, values: { stale, noWait }, context, gpus, opener } = run;
  const failed = new Set<string>();
  const beside = trainingLane(gpus?.length ?? 1);
  const lanes = gpus && gpus.length > 1 ? gpus.map((gpu) => laneOf(opener, gpu)) : [laneOf(opener)];
  const running = new Map<Lane, Promise<void>>();
  const lost = new Map<string, number>();
  const stop = new AbortController();
  const signal = AbortSignal.any([context.signal, stop.signal]);
  let failure: { readonly error: unknown } | undefined;
  const start = (lane: Lane, state: FoldState) => {
    const ended = trainOne({ ...run, lane, beside, failed, lost, signal }, state)
      .catch((error) => void (failure ??= { error }))
      .finally(() => running.delete(lane));
    running.set(lane, ended);
  };
  await ensureFolder(experiment.results, "making the results folder");
  try {
    for (let isWaiting = false;;) {
      const states = await settled(await lookAtFolds(experiment), stale, context);
      const next = nextFold(states, experiment, failed);
      const isEnd = next.kind === "end" || (next.kind === "wait" && noWait);
      if (isEnd && running.size === 0 && !failure) {
        for (const { task, folder } of states) {
          for (const lock of [claimOf(experiment, task), join(folder, TRAINING_LOCK)]) removeAbandonedLock(lock);
        }
        return { states, failed };
      }
      const free = lanes.filter((lane) => !running.has(lane) && lane.failures < MOST_FAILURES);
      const chosen = free.flatMap((lane) => {
        const own = nextFold(states, experiment, failed.union(othersFolds(lane, lanes, states, lost)));
        return own.kind === "train" ? [{ lane, state: own.state }] : [];
      })[0];
      if (chosen && !failure) {
        isWaiting = false;
        start(chosen.lane, chosen.state);
        // What it has claimed is busy for the next look.
        if (lanes.length > 1) continue;
      }
      if (running.size > 0) {
        const before = running.size;
        // What other runs train may come to be of use for a GPU that is free.
        const looking = next.kind === "wait" && free.length > 0 ? [pause(context.signal, LOOKING)] : [];
        await Promise.race([...running.values(), ...looking]);
        if (running.size < before) await sayEnd(run);
      } else if (next.kind === "wait" && !failure) {
        const names = next.busy.map(({ task }) => taskName(task)).join("; ");
        if (!isWaiting) context.print(`waiting for what other runs train: ${names}`);
        isWaiting = true;
        await pause(context.signal, LOOKING);
      } else if (!failure) lanes.push(cpuLane(run, lost));
      if (failure) throw failure.error;
      if (context.signal.aborted) throw new Interrupted(STOPPED);
    }
  } finally {
    // Those that are stopped write their checkpoints first.
    stop.abort();
    await Promise.all(running.values());
  }
}

/** Names of folds that are not for a lane: a GPU's are those that it has not failed at, nor too many others; the CPU's are what is left. */
function othersFolds(
  lane: Lane,
  lanes: readonly Lane[],
  states: readonly FoldState[],
  lost: ReadonlyMap<string, number>,
): ReadonlySet<string> {
  const isFor = ({ lost: own }: Lane, name: string) => (lost.get(name) ?? 0) < MOST_LOST && !own.has(name);
  const gpus = lanes.filter(({ gpu, failures }) => gpu && failures < MOST_FAILURES);
  const isOthers = lane.gpu
    ? (name: string) => !isFor(lane, name)
    : (name: string) => gpus.some((other) => isFor(other, name));
  return new Set(states.map(({ task }) => taskName(task)).filter(isOthers));
}

/** The last resort. @throws UserError where the CPU is not to take a GPU's place */
function cpuLane({ values, context }: TrainingRun, lost: ReadonlyMap<string, number>): Lane {
  if (!mayUseCpu(values)) throw noGpuLeft(lost);
  context.warn(`no GPU is left for it, the CPU goes on${values.allowCpu ? " (--allow_cpu)" : ""}`);
  return laneOf(engineOpener({ ...values, device: "cpu" }, context.print));
}

function noGpuLeft(lost: ReadonlyMap<string, number>): UserError {
  return new UserError({
    doing: "training the folds",
    problem: `no GPU of --gpus is left that has not failed at them (${[...lost.keys()].join("; ")})`,
    remedy: "`nnunet doctor` tests them; the same command goes on from the last checkpoints",
  });
}

async function sayEnd({ experiment, forecasts, context }: TrainingRun): Promise<void> {
  const now = await lookAtFolds(experiment);
  const end = endLine(now, estimateTime(now, experiment.recipe.epochs, forecasts), Date.now());
  if (end !== "") context.print(end);
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

interface FoldRun extends TrainingRun {
  readonly lane: Lane;
  /** Of trainings on several GPUs. */
  readonly beside: ReadingLane;
  /** Names of folds that are not tried again. */
  readonly failed: Set<string>;
  /** How often folds were lost with a GPU. */
  readonly lost: Map<string, number>;
  /** Aborts too when another training ends the run. */
  readonly signal: AbortSignal;
}

async function trainOne(run: FoldRun, { task, folder }: FoldState): Promise<void> {
  const { experiment, context, values, lane: { gpu } } = run;
  using claim = tryTakeLock(claimOf(experiment, task));
  if (!claim) return;
  // Another run may have done it between the look and the claim. Its lock is ours now, so that it does not look busy.
  const name = taskName(task);
  const { progress } = await lookAtFold(experiment, task);
  if (progress.kind === "done" || isLocked(join(folder, TRAINING_LOCK))) return;
  const begin = performance.now();
  const where = gpu ? ` on GPU ${gpu.name}` : "";
  const fields = { configuration: task.configuration, fold: task.fold, ...(gpu && { gpu: gpu.name }) };
  context.print(`${name}: ${startLine(progress)}${where}`);
  context.event?.("fold", { ...fields, state: "begun" });
  try {
    const dice = await train(run, task, startOf(progress, task, values));
    context.print(
      `${name}: done${where}, Dice ${diceText(dice)}, ${formatSeconds((performance.now() - begin) / 1000)}`,
    );
    context.event?.("fold", { ...fields, state: "done", dice });
  } catch (error) {
    if (error instanceof Interrupted) throw new Interrupted(STOPPED);
    // A `train` that began at the same moment.
    if (error instanceof UserError && isLocked(join(folder, TRAINING_LOCK))) return;
    if (error instanceof GpuFailed) return noteGpuFailure(run, task, error);
    if (!(error instanceof UserError) || error.parts.endsRun) throw error;
    context.printError(`error: ${name}: ${error.message}`);
    context.event?.("fold", { ...fields, state: "failed" });
    run.failed.add(name);
  }
}

/** @returns the mean Dice of the validation */
async function train(run: FoldRun, task: FoldTask, start: TrainRequest["start"]): Promise<number> {
  const { lane: { gpu, opener: { openEngine, recover } }, values, beside } = run;
  const request = requestOf(run, task, start);
  const hooks = hooksOf(taskName(task), task, run);
  if (gpu) return await trainBeside({ request, gpu, flags: values, lane: beside }, hooks);
  const { trainModel } = await import("../../core/train/train_model.ts");
  return (await trainModel({ ...request, openEngine, recover }, hooks)).summary.foregroundMean.Dice;
}

/** The fold goes on from its last checkpoint, on whichever GPU is free; not for ever. */
function noteGpuFailure({ lane, failed, lost, values, context }: FoldRun, task: FoldTask, error: GpuFailed): void {
  const name = taskName(task);
  // A thread whose GPU hangs has the fold's lock as long as this process lives.
  const count = error.hangs ? MOST_LOST : (lost.get(name) ?? 0) + 1;
  lost.set(name, count);
  lane.lost.add(name);
  lane.failures = error.hangs ? MOST_FAILURES : lane.failures + 1;
  const gpu = lane.gpu?.name ?? "";
  const isGone = lane.failures >= MOST_FAILURES;
  const isGivenUp = error.hangs || (count >= MOST_LOST && !mayUseCpu(values));
  if (isGivenUp) failed.add(name);
  const goesOn = isGivenUp ? "it is given up" : "it goes on from its last checkpoint";
  const end = isGone ? `; GPU ${gpu} is not used any more` : "";
  const fields = { configuration: task.configuration, fold: task.fold, gpu };
  context.warn(`${name}: GPU ${gpu} failed, ${goesOn}${end}: ${error.message}`);
  context.event?.("gpu_failed", { gpu, message: error.message, isGone });
  if (isGivenUp) context.event?.("fold", { ...fields, state: "failed" });
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
  { experiment, values }: TrainingRun,
  { configuration, fold }: FoldTask,
  start: TrainRequest["start"],
): FoldRequest {
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
  };
}

function hooksOf(
  name: string,
  { configuration, fold }: FoldTask,
  { values: { verbose }, context: { print, warn, count, event }, lane: { gpu }, signal }: FoldRun,
): TrainHooks {
  const before = gpu ? `${name}: ` : "";
  const on = gpu && { gpu: gpu.name };
  let epochs: CountProgress | undefined;
  let cases: CountProgress | undefined;
  return {
    info: (message) => verbose && print(`${before}${message}`),
    warn: (message) => warn(`${name}: ${message}`),
    onEpoch(progress) {
      event?.("epoch", { configuration, fold, ...on, ...epochFields(progress) });
      if (event) return;
      if (verbose) return print(`${before}${epochLine(progress)}`);
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
