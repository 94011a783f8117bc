/**
 * Cases on several engines, each in a thread of its own: whoever is free takes the next case of the run that came first. What an engine
 * that is lost has not done goes to the others. A case's result does not depend on which engine it came to.
 */
import { Interrupted, messageOf, UserError, type UserErrorParts } from "../../base/errors.ts";
import type { Precision, StepCost } from "../../engine/engine.ts";
import type { Model } from "../model/model_folder.ts";
import { type CaseSource, DEFAULTS, predictWith, type RunRequest, type Take } from "./predict_with.ts";
import type { CaseToPredict, PredictionEvent, PredictionHooks, PredictionSummary } from "./request.ts";
import type { ModelRuns, TakenRun } from "./resident_models.ts";

/** A thread with an engine and models on it. */
export interface CaseThread extends AsyncDisposable {
  /** In events: "0". */
  readonly name: string;
  /** "auto" where the engine can do both. */
  readonly precision: Precision | "auto";
  /**
   * Predicts a case and those that `take` gives after it.
   * @returns `failed`: the engine could not go on; cases that were not told of as done or failed are not done
   */
  predict(model: Model, run: TakenRun, first: CaseToPredict, take: Take, hooks: PredictionHooks): Promise<ThreadEnd>;
  heldBytes(model: Model): number;
}

export interface ThreadEnd {
  readonly steps: readonly StepCost[];
  /** `isGone`: the thread is of no more use; otherwise its engine was opened anew. */
  readonly failed?: { readonly error: Error; readonly isGone: boolean };
}

export interface ThreadsOptions {
  /** Of all runs; "auto": the first case of a model decides for all threads. */
  readonly precision: Precision | "auto";
  /** A thread's engine has failed; these cases go to the others, or fail. */
  readonly onFailure: (thread: CaseThread, failed: NonNullable<ThreadEnd["failed"]>, cases: readonly string[]) => void;
  /** Opens a thread for the case that all others have lost their engines; undefined: what is left fails then. */
  readonly lastResort?: () => Promise<CaseThread>;
}

/** A run that is going on. */
interface ActiveRun {
  readonly model: Model;
  readonly run: TakenRun;
  readonly source: CaseSource;
  readonly hooks: PredictionHooks;
  /** Cases that a thread could not do; they come first. */
  readonly returned: CaseToPredict[];
  /** Threads that are at it. */
  threads: number;
  begun: number;
  failure?: { readonly error: unknown };
  readonly ended: PromiseWithResolvers<void>;
}

interface Work {
  readonly active: ActiveRun;
  readonly first: CaseToPredict;
  /** True: the model's precision is open, and this case decides. */
  readonly decides: boolean;
}

/** A case that so many engines have failed at is given up. */
const MOST_FAILURES = 2;

export interface ThreadRuns extends ModelRuns {
  /** A whole run, with its output folder. @throws as predictCases */
  predictAll(request: RunRequest, hooks: PredictionHooks): Promise<PredictionSummary>;
}

/** Takes cases into threads, which it disposes of in the end; runs may overlap. */
export function runInThreads(threads: readonly CaseThread[], options: ThreadsOptions): ThreadRuns {
  const runs = new Set<ActiveRun>();
  const alive = new Set(threads);
  const opened = new Set(threads);
  const decided = new Map<Model, Precision>();
  const deciding = new Set<Model>();
  const failures = new Map<CaseToPredict, number>();
  let wake = Promise.withResolvers<void>();
  let [isClosed, isReopening] = [false, false];
  let lastLoss = new Error("no thread was opened");
  const wakeAll = () => {
    wake.resolve();
    wake = Promise.withResolvers();
  };
  const precision = options.precision === "auto" && threads.some((thread) => thread.precision === "f32")
    ? "f32"
    : options.precision;
  const loops = threads.map(workOn);

  /** @returns undefined if it is for the others, so that none waits for a case that lies ready behind a long one */
  async function takeBeside(active: ActiveRun): Promise<CaseToPredict | undefined> {
    const left = active.returned.length + active.source.left();
    return left >= alive.size ? await takeOf(active) : undefined;
  }

  async function takeOf({ returned, source, hooks, failure }: ActiveRun): Promise<CaseToPredict | undefined> {
    if (hooks.signal?.aborted || failure) return undefined;
    return returned.shift() ?? await source.take();
  }

  /** Of a model whose precision was open: its other cases may begin. */
  function hasDecided(model: Model, choice?: Precision): void {
    if (choice) decided.set(model, choice);
    if (deciding.delete(model)) wakeAll();
  }

  async function nextWork(): Promise<Work | undefined> {
    while (!isClosed) {
      const woken = wake.promise;
      for (const active of runs) {
        const { model } = active;
        if (deciding.has(model)) continue;
        const decides = precision === "auto" && !decided.has(model);
        if (decides) deciding.add(model);
        active.threads++;
        const first = await takeOf(active).catch((error) => void fail(active, error));
        if (first) return { active, first, decides };
        active.threads--;
        if (decides) hasDecided(model);
        endIfDone(active);
      }
      await woken;
    }
    return undefined;
  }

  async function workOn(thread: CaseThread): Promise<void> {
    for (let work = await nextWork(); work; work = await nextWork()) {
      const { active } = work;
      const lost = await workAt(thread, work);
      active.threads--;
      if (lost) {
        alive.delete(thread);
        lastLoss = lost;
        await afterLoss();
      }
      endIfDone(active);
      wakeAll();
      if (lost) return;
    }
  }

  /** @returns why the thread is of no more use, if so */
  async function workAt(thread: CaseThread, { active, first, decides }: Work): Promise<Error | undefined> {
    const { model, run, source, hooks } = active;
    const open = new Map([[first.id, first]]);
    const take = async () => {
      const one = await takeBeside(active);
      if (one) open.set(one.id, one);
      return one;
    };
    const onEvent = (event: PredictionEvent) => {
      if (event.kind === "precision") hasDecided(model, event.precision);
      if (event.kind === "done") open.delete(event.record.id);
      if (event.kind === "failed") open.delete(event.id);
      hooks.onEvent?.(named(event, thread, active));
    };
    try {
      const asked = { ...run, precision: decided.get(model) ?? precision };
      const { steps, failed } = await thread.predict(model, asked, first, take, { signal: hooks.signal, onEvent });
      if (steps.length > 0) source.steps = steps;
      if (!failed) return undefined;
      options.onFailure(thread, failed, [...open.keys()]);
      giveBack(active, [...open.values()], failed.error);
      return failed.isGone ? failed.error : undefined;
    } catch (error) {
      fail(active, error);
      return undefined;
    } finally {
      if (decides) hasDecided(model);
    }
  }

  /** Cases that an engine has not done; the first one was at work, and may be why. */
  function giveBack(active: ActiveRun, cases: readonly CaseToPredict[], error: Error): void {
    for (const [i, one] of cases.entries()) {
      const count = (failures.get(one) ?? 0) + (i === 0 ? 1 : 0);
      failures.set(one, count);
      if (count >= MOST_FAILURES) failCase(active, one, error);
      else active.returned.push(one);
    }
  }

  /** With the last engine everything that is left fails, unless there is a last resort. */
  async function afterLoss(): Promise<void> {
    if (alive.size > 0) return;
    if (options.lastResort && opened.size === threads.length) {
      isReopening = true;
      try {
        const thread = await options.lastResort();
        opened.add(thread);
        alive.add(thread);
        loops.push(workOn(thread));
        return;
      } catch (error) {
        lastLoss = error instanceof Error ? error : new Error(String(error));
      } finally {
        isReopening = false;
      }
    }
    for (const active of runs) await failAll(active);
  }

  async function failAll(active: ActiveRun): Promise<void> {
    active.threads++;
    try {
      for (let one = await takeOf(active); one; one = await takeOf(active)) failCase(active, one, lastLoss);
    } catch (error) {
      fail(active, error);
    }
    active.threads--;
    endIfDone(active);
  }

  function endIfDone(active: ActiveRun): void {
    const { threads: working, returned, hooks: { signal }, failure } = active;
    if (working > 0 || (returned.length > 0 && !signal?.aborted && !failure)) return;
    active.ended.resolve();
  }

  /** One case after the other until there are no more, nowhere. */
  async function runAll(model: Model, run: TakenRun, source: CaseSource, hooks: PredictionHooks): Promise<void> {
    for (let first = await source.next(); first && !hooks.signal?.aborted; first = await source.next()) {
      const ended = Promise.withResolvers<void>();
      const active: ActiveRun = { model, run, source, hooks, returned: [first], threads: 0, begun: 0, ended };
      runs.add(active);
      if (alive.size === 0 && !isReopening) await failAll(active);
      wakeAll();
      await ended.promise;
      runs.delete(active);
      if (active.failure) throw active.failure.error;
    }
    if (hooks.signal?.aborted) throw new Interrupted("The prediction was stopped");
  }

  async function predictAll(request: RunRequest, hooks: PredictionHooks): Promise<PredictionSummary> {
    const { model, details } = request;
    const run: TakenRun = { options: plainOptions(request), ...(details && { details }) };
    return await predictWith(request, hooks, (source, told) => runAll(model, run, source, told));
  }

  return {
    predictAll,
    predict: (model, { cases, details, options: own }, hooks = {}) =>
      predictAll({ model, cases, options: own, ...(details && { details }) }, hooks),
    // Every thread reads its own next case.
    readAhead: () => Promise.resolve(undefined),
    heldBytes: (model) => [...opened].reduce((sum, thread) => sum + thread.heldBytes(model), 0),
    async [Symbol.asyncDispose]() {
      isClosed = true;
      wakeAll();
      await Promise.all(loops);
      for (const thread of opened) await thread[Symbol.asyncDispose]();
    },
  };
}

/** What each case is predicted with; the rest is the run's, or the threads' own. */
function plainOptions({ options = {} }: RunRequest): TakenRun["options"] {
  const { stepSize, mirroring, saveProbabilities, nonFinite, checksums, scratchFolder } = { ...DEFAULTS, ...options };
  return { stepSize, mirroring, saveProbabilities, nonFinite, checksums, scratchFolder };
}

function named(event: PredictionEvent, { name: gpu }: CaseThread, active: ActiveRun): PredictionEvent {
  if (event.kind === "case") return { ...event, gpu, index: active.begun++ };
  if (event.kind === "done") return { ...event, gpu, record: { ...event.record, gpu } };
  return { ...event, gpu };
}

/** Ends the run: what it fails by is no one case's. */
function fail(active: ActiveRun, error: unknown): void {
  active.failure ??= { error };
}

function failCase({ hooks }: ActiveRun, { id }: CaseToPredict, thrown: Error): void {
  const parts: UserErrorParts = thrown instanceof UserError
    ? thrown.parts
    : { doing: "predicting the case", problem: messageOf(thrown) };
  const error = new UserError({ ...parts, caseId: id });
  hooks.onEvent?.({ kind: "failed", id, error: error.parts, message: error.message });
}
