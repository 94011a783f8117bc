/**
 * Models that stay loaded from run to run on one engine: weights are read once, programs compiled once for a batch, the thread that
 * reads and writes cases goes on. What a case gives is what {@link predictCases} gives that loads everything anew.
 */
import { collectGarbage } from "../../base/collect_garbage.ts";
import { freeArray } from "../../base/free_array.ts";
import type { Engine, Precision, StepCost } from "../../engine/engine.ts";
import type { Model } from "../model/model_folder.ts";
import { openSession, type Session } from "../model/session.ts";
import type { PreparedCase } from "./case_jobs.ts";
import { type CasePool, createCasePool } from "./case_pool.ts";
import { type Kept, predictCases, predictTaken } from "./predict_cases.ts";
import type { Take } from "./predict_with.ts";
import { prepareJob } from "./prepare_job.ts";
import type {
  CaseToPredict,
  PredictionHooks,
  PredictionOptions,
  PredictionRequest,
  PredictionSummary,
} from "./request.ts";
import { allowAhead, measureRuntime, type ReadingLane } from "./run_memory.ts";

export interface ResidentSource extends Pick<PredictionRequest, "engine" | "renew" | "recover"> {
  /** Of all models. */
  readonly options: Pick<PredictionOptions, "precision" | "precisionCache" | "maxMemory">;
  /** Where other threads have models too. */
  readonly lane?: ReadingLane;
  readonly isLost?: Kept["isLost"];
}

/** Of a run, what is not the resident models' own. */
export interface ResidentRun extends Pick<PredictionRequest, "cases" | "details"> {
  readonly options: Omit<PredictionOptions, keyof ResidentSource["options"] | "overlap" | "share">;
  /** The first case, where {@link ResidentModels.readAhead} has read it. */
  readonly ahead?: CaseAhead;
}

/** A case that is being read for a run to come. Disposing gives it back; a run that it is given to does so itself. */
export interface CaseAhead extends Disposable {
  readonly prepared: Promise<PreparedCase>;
}

/** As {@link ResidentRun}, of cases that are given one by one. */
export interface TakenRun extends Pick<PredictionRequest, "details"> {
  readonly options: Omit<ResidentRun["options"], "continuePrediction">;
  /** Instead of the source's, for a model that is not loaded yet. */
  readonly precision?: Precision | "auto";
}

/** Models that stay loaded. Disposing it gives everything back but what it was given. */
export interface ModelRuns extends AsyncDisposable {
  /** @throws as {@link predictCases} */
  predict(model: Model, run: ResidentRun, hooks?: PredictionHooks): Promise<PredictionSummary>;
  /**
   * Reads the first case of a run to come, beside the network of the present one.
   * @param total Bytes of the whole program that the present case was forecast to take
   * @returns undefined where there is no room for it
   */
  readAhead(model: Model, run: ResidentRun, total: number): Promise<CaseAhead | undefined>;
  /** Bytes that the model has of the engine; 0 where it is not loaded, or was given back for another one. */
  heldBytes(model: Model): number;
}

/** On one engine, which is the caller's: runs must not overlap. */
export interface ResidentModels extends ModelRuns {
  /** As `predict`, of cases that are given one by one, without folders and summary. */
  predictTaken(
    model: Model,
    run: TakenRun,
    first: CaseToPredict,
    take: Take,
    hooks?: PredictionHooks,
  ): Promise<{ readonly steps: readonly StepCost[] }>;
}

interface Thread extends AsyncDisposable {
  readonly pool: CasePool;
  readonly abort: () => void;
  readonly isAborted: boolean;
}

export function keepModels(source: ResidentSource): ResidentModels {
  const { options } = source;
  const runtimeBytes = source.lane?.runtimeBytes ?? measureRuntime(source.engine);
  /** The least recently used first. */
  const sessions = new Map<Model, Session>();
  let engine = source.engine;
  let hasRun = false;
  /** Cases that are being read ahead. */
  let reading = 0;
  let thread: Thread | undefined;

  async function close(model: Model): Promise<void> {
    const session = sessions.get(model);
    sessions.delete(model);
    await session?.[Symbol.asyncDispose]();
  }

  async function closeOthers(than: Model): Promise<void> {
    for (const other of [...sessions.keys()]) if (other !== than) await close(other);
  }

  /** What opens another engine: networks on this one end with it. */
  function replacing(model: Model, reopen: (() => Promise<Engine>) | undefined): (() => Promise<Engine>) | undefined {
    if (!reopen) return undefined;
    return async () => {
      await closeOthers(model);
      return engine = await reopen();
    };
  }

  function sessionOf(model: Model, precision = options.precision): Session {
    const session = sessions.get(model) ?? openSession({
      engine,
      model,
      options: { ...options, precision },
      renew: () => replacing(model, source.renew?.()),
      recover: (error, attempt) => replacing(model, source.recover?.(error, attempt)),
    });
    sessions.delete(model);
    sessions.set(model, session);
    return session;
  }

  const bytesOf = (model: Model) => sessions.get(model)?.loaded?.heldBytes ?? 0;

  function othersBytes(model: Model): number {
    return [...sessions.keys()].reduce((sum, other) => sum + (other === model ? 0 : bytesOf(other)), 0);
  }

  async function makeRoom(model: Model): Promise<boolean> {
    const other = [...sessions.keys()].find((one) => one !== model && bytesOf(one) > 0);
    if (other) await close(other);
    return other !== undefined;
  }

  async function usableThread(): Promise<Thread> {
    if (thread?.isAborted) await thread[Symbol.asyncDispose]();
    else if (thread) return thread;
    return thread = startThread();
  }

  async function withKept<T>(
    model: Model,
    precision: Precision | "auto" | undefined,
    { signal }: PredictionHooks,
    use: (kept: Kept) => Promise<T>,
  ): Promise<T> {
    const { pool, abort } = await usableThread();
    const session = sessionOf(model, precision);
    if (signal?.aborted) abort();
    signal?.addEventListener("abort", abort);
    try {
      return await use({
        session,
        pool,
        hasRun,
        runtimeBytes: () => runtimeBytes + othersBytes(model),
        makeRoom: () => makeRoom(model),
        lane: source.lane,
        isLost: source.isLost,
      });
    } finally {
      hasRun = true;
      // Whoever waits for the next run allocates nothing, so that the collector would not come round.
      collectGarbage();
      signal?.removeEventListener("abort", abort);
    }
  }

  return {
    async predict(model, run, hooks = {}) {
      const { ahead, ...request } = run;
      return await withKept(
        model,
        undefined,
        hooks,
        (kept) =>
          predictCases({ ...request, engine, model, options: { ...run.options, ...options } }, hooks, {
            ...kept,
            ...(ahead && { prepared: ahead.prepared }),
          }),
      );
    },
    async predictTaken(model, { details, precision, ...run }, first, take, hooks = {}) {
      const request = { model, details, options: { ...run.options, ...options } };
      return await withKept(model, precision, hooks, (kept) => predictTaken({ request, hooks, kept }, first, take));
    },
    async readAhead(model, { cases: [one], options: own }, total) {
      const allowed = await allowAhead(options.maxMemory, total, one, model);
      if (!allowed || !thread || thread.isAborted) return undefined;
      const prepared = thread.pool.prepare(prepareJob(model, own, one, allowed.memory));
      prepared.catch(() => {}); // the run reads it anew
      reading++;
      prepared.finally(() => reading--).catch(() => {});
      return { prepared, [Symbol.dispose]: () => void prepared.then(giveBack, () => {}) };
    },
    heldBytes: bytesOf,
    async [Symbol.asyncDispose]() {
      if (reading > 0) thread?.abort(); // for a run that will not come
      await thread?.[Symbol.asyncDispose]();
      for (const model of [...sessions.keys()]) await close(model);
    },
  };
}

function giveBack({ case: { data, previousStage } }: PreparedCase): void {
  freeArray(data);
  freeArray(previousStage);
}

/** A thread whose jobs can be made to end; afterwards it takes no more. */
function startThread(): Thread {
  const controller = new AbortController();
  const pool = createCasePool(true, controller.signal);
  return {
    pool,
    abort: () => controller.abort(),
    get isAborted() {
      return controller.signal.aborted;
    },
    [Symbol.asyncDispose]: () => pool[Symbol.asyncDispose](),
  };
}
