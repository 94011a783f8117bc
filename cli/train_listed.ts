/** `train --folds`: one training after the other, or one on each of several GPUs. What fails is that fold's alone. */
import { Interrupted, UserError } from "../core/base/errors.ts";
import type { ReadingLane } from "../core/predict/run/run_memory.ts";
import { startAfter, type TrainHooks } from "../core/train/train_request.ts";
import { trainingLane } from "../core/train/training_memory.ts";
import type { AdapterChoice } from "../gpu/adapter.ts";
import type { CommandContext, CountProgress } from "./commands/command.ts";
import { wantedGpus } from "./engines/wanted_gpus.ts";
import type { TrainValues } from "./flags/train_flags.ts";
import type { FoldRequest } from "./gpus/fold_messages.ts";
import { mayUseCpu } from "./engines/select_engine.ts";
import { GpuFailed, MOST_FAILURES, MOST_LOST, trainBeside } from "./gpus/fold_thread.ts";
import { diceText, type EngineFlags, engineOpener, epochFields, epochLine } from "./training_request.ts";

/** A fold that is to be trained. */
interface ListedFold {
  readonly request: FoldRequest;
  /** GPUs that failed at it; it is for others. */
  readonly lostBy: readonly Lane[];
}

/** What folds are trained with. */
interface Lane {
  /** In a thread of its own; absent: in this one, on the engine of `flags`. */
  readonly gpu?: AdapterChoice;
  readonly flags: EngineFlags;
}

/**
 * Trains all folds. What a GPU had that fails goes on on another one.
 * @returns false if one could not be trained
 * @throws Interrupted, checkpoints written; UserError where going on is in vain
 */
export async function trainListed(
  requests: readonly FoldRequest[],
  values: TrainValues,
  context: CommandContext,
): Promise<boolean> {
  const gpus = await wantedGpus(values, context);
  const folds = shareList(requests.map((request): ListedFold => ({ request, lostBy: [] })));
  const failed: string[] = [];
  const stop = new AbortController();
  const run: ListedRun = {
    values,
    context,
    folds,
    failed,
    lane: trainingLane(Math.min(gpus?.length ?? 1, requests.length)),
    stop,
    signal: AbortSignal.any([context.signal, stop.signal]),
  };
  const beside = gpus && gpus.length > 1;
  const lanes: Lane[] = beside
    ? gpus.map((gpu) => ({ gpu, flags: values }))
    : [{ flags: { ...values, ...(gpus && { gpu: gpus[0] }) } }];
  await workAll(run, lanes);
  if (beside && folds.left().length > 0 && !context.signal.aborted && mayUseCpu(values)) {
    context.warn(`no GPU is left, the CPU goes on${values.allowCpu ? " (--allow_cpu)" : ""}`);
    await workAll(run, [{ flags: { ...values, device: "cpu" } }]);
  }
  if (context.signal.aborted) throw new Interrupted("stopped; the same command with --c goes on from there");
  failed.push(...folds.left().map(({ request: { task } }) => `${task.fold}`));
  if (failed.length === 0) return true;
  context.printError(
    `these folds could not be trained: ${failed.join(", ")}; the same command with --c goes on with them`,
  );
  return false;
}

async function workAll(run: ListedRun, lanes: readonly Lane[]): Promise<void> {
  const ends = await Promise.allSettled(lanes.map((lane) => work(run, lane)));
  for (const end of ends) if (end.status === "rejected" && !(end.reason instanceof Interrupted)) throw end.reason;
}

interface ListedRun {
  readonly values: TrainValues;
  readonly context: CommandContext;
  readonly folds: SharedList<ListedFold>;
  /** Names of those that are not tried again. */
  readonly failed: string[];
  /** Of trainings on several GPUs. */
  readonly lane: ReadingLane;
  readonly stop: AbortController;
  /** Aborts too when another training ends the run. */
  readonly signal: AbortSignal;
}

/** Trains one fold after the other; ends early where its GPU is of no more use. */
async function work(run: ListedRun, lane: Lane): Promise<void> {
  const { folds, signal, stop, context } = run;
  const { gpu } = lane;
  for (let failures = 0;;) {
    const one = await folds.take(({ lostBy }) => !gpu || (lostBy.length < MOST_LOST && !lostBy.includes(lane)));
    if (!one) return;
    try {
      const error = signal.aborted ? undefined : await trainOne(run, lane, one);
      if (!error) continue;
      failures = error.hangs ? MOST_FAILURES : failures + 1;
      const isGone = failures >= MOST_FAILURES;
      context.event?.("gpu_failed", { gpu: gpu?.name, message: error.message, isGone });
      if (!isGone) continue;
      return context.warn(
        `GPU ${gpu?.name} ${error.hangs ? "hangs" : `has failed ${failures} times`} and is not used any more`,
      );
    } catch (error) {
      stop.abort();
      throw error;
    } finally {
      folds.done();
    }
  }
}

/** @returns what its GPU failed by: then the fold is given back, or up. @throws what ends the run */
async function trainOne(run: ListedRun, lane: Lane, { request, lostBy }: ListedFold): Promise<GpuFailed | undefined> {
  const { values, context, failed, folds } = run;
  const { gpu } = lane;
  const { fold, configurationName: configuration } = request.task;
  const fields = { configuration, fold, ...(gpu && { gpu: gpu.name }) };
  const tell = (state: string, more: Readonly<Record<string, unknown>> = {}) =>
    context.event?.("fold", { ...fields, state, ...more });
  const say = (line: string) => {
    if (!values.quiet) context.print(line);
  };
  say(`fold ${fold}: is trained${gpu ? ` on GPU ${gpu.name}` : ""}`);
  tell("begun");
  let isSaved = false;
  const hooks: TrainHooks = { ...hooksOf(request, gpu, run), onSave: () => void (isSaved = true) };
  try {
    const dice = await trainFold(run, lane, request, hooks);
    say(`fold ${fold}: validation: mean Dice ${diceText(dice)}`);
    tell("done", { dice });
    return undefined;
  } catch (error) {
    if (error instanceof GpuFailed && !error.hangs && (lostBy.length + 1 < MOST_LOST || mayUseCpu(values))) {
      const start = startAfter(request.start, isSaved);
      const how = start.kind === "continue" ? "goes on from its last checkpoint" : "begins once more";
      context.warn(`fold ${fold}: GPU ${gpu?.name} failed, it ${how}: ${error.message}`);
      folds.giveBack({ request: { ...request, start }, lostBy: [...lostBy, lane] });
      return error;
    }
    const isFolds = error instanceof GpuFailed || (error instanceof UserError && !error.parts.endsRun);
    if (!isFolds) throw error;
    context.printError(`error: fold ${fold}: ${error.message}`);
    tell("failed");
    failed.push(`${fold}`);
    return error instanceof GpuFailed ? error : undefined;
  }
}

/** @returns the mean Dice of the validation */
async function trainFold(
  { values, lane: beside }: ListedRun,
  { gpu, flags }: Lane,
  request: FoldRequest,
  hooks: TrainHooks,
): Promise<number> {
  if (gpu) return await trainBeside({ request, gpu, flags: values, lane: beside }, hooks);
  const { trainModel } = await import("../core/train/train_model.ts");
  const { openEngine, recover } = engineOpener(flags, hooks.info);
  return (await trainModel({ ...request, openEngine, recover }, hooks)).summary.foregroundMean.Dice;
}

/** A list that several take from, and to which what they took may come back. */
interface SharedList<T> {
  /** The next one that is wanted; undefined once there is none, and none may come back. */
  take(isWanted: (one: T) => boolean): Promise<T | undefined>;
  giveBack(one: T): void;
  /** One that was taken is done with, or was given back. */
  done(): void;
  left(): readonly T[];
}

function shareList<T>(all: readonly T[]): SharedList<T> {
  const left = [...all];
  let taken = 0;
  let change = Promise.withResolvers<void>();
  return {
    async take(isWanted) {
      for (;;) {
        const at = left.findIndex(isWanted);
        if (at >= 0) {
          taken++;
          return left.splice(at, 1)[0];
        }
        if (taken === 0) return undefined;
        await change.promise;
      }
    },
    giveBack: (one) => void left.unshift(one),
    done() {
      taken--;
      change.resolve();
      change = Promise.withResolvers();
    },
    left: () => left,
  };
}

function hooksOf(
  { task: { fold, configurationName: configuration } }: FoldRequest,
  gpu: AdapterChoice | undefined,
  { values: { quiet }, context: { print, warn, count, event }, signal }: ListedRun,
): TrainHooks {
  let cases: CountProgress | undefined;
  const say = (line: string) => {
    if (!quiet) print(`fold ${fold}: ${line}`);
  };
  return {
    info: say,
    warn: (line) => warn(`fold ${fold}: ${line}`),
    onEpoch(progress) {
      if (!event) return say(epochLine(progress));
      event("epoch", { configuration, fold, ...(gpu && { gpu: gpu.name }), ...epochFields(progress) });
    },
    onCase(done, of) {
      cases ??= count(`fold ${fold}: validation cases predicted`, quiet ? "none" : "bar");
      cases(done, of);
    },
    signal,
  };
}
