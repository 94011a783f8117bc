/** The program's side of a thread with an engine of its own. */
import { Interrupted } from "../../core/base/errors.ts";
import { basename } from "../../core/base/path.ts";
import { fromPlainError } from "../../core/base/plain_error.ts";
import { ThreadEnded } from "../../core/base/worker_thread.ts";
import type { Model } from "../../core/predict/model/model_folder.ts";
import type { Take } from "../../core/predict/run/predict_with.ts";
import type { CaseThread } from "../../core/predict/run/predict_in_threads.ts";
import type { PredictionHooks } from "../../core/predict/run/request.ts";
import type { StartHooks } from "../engines/select_engine.ts";
import type { FromThread, ModelSource, OpenedEngine, ThreadSetting, ToThread } from "./messages.ts";

export interface GpuThread extends CaseThread {
  readonly engine: OpenedEngine;
}

/** Starts a thread and its engine. @throws UserError if the one that is wanted cannot be had */
export async function startGpuThread(
  name: string,
  setting: ThreadSetting,
  { say, warn }: Required<StartHooks>,
  startWorker = () => new Worker(new URL("./gpu_worker.ts", import.meta.url), { type: "module" }),
): Promise<GpuThread> {
  const worker = startWorker();
  const send = (message: ToThread) => worker.postMessage(message);
  const held = new Map<Model, number>();
  let waiting: PromiseWithResolvers<FromThread> | undefined;
  let running: { readonly take: Take; readonly hooks: PredictionHooks } | undefined;
  let ended: ThreadEnded | undefined;

  worker.onmessage = ({ data }: MessageEvent<FromThread>) => {
    if (data.kind === "say") say(data.line);
    else if (data.kind === "warn") warn(data.line);
    else if (data.kind === "event") running?.hooks.onEvent?.(data.event);
    else if (data.kind === "take") void answerTake();
    else if (data.kind === "error") waiting?.reject(fromPlainError(data.error));
    else waiting?.resolve(data);
  };
  worker.onerror = (event) => {
    event.preventDefault();
    ended = new ThreadEnded(`computes on ${name}`, event.message);
    waiting?.reject(ended);
  };

  let takeError: unknown;
  async function answerTake(): Promise<void> {
    try {
      send({ kind: "case", one: await running?.take() });
    } catch (error) {
      takeError = error;
      send({ kind: "case", one: undefined });
    }
  }

  async function ask(message: ToThread): Promise<FromThread> {
    if (ended) throw ended;
    waiting = Promise.withResolvers();
    send(message);
    try {
      return await waiting.promise;
    } finally {
      waiting = undefined;
    }
  }

  const opened = await ask({ kind: "open", setting }).catch((error) => {
    worker.terminate();
    throw error;
  });
  if (opened.kind !== "opened") throw new Error(`Starting a thread: it answered ${opened.kind}`);
  const { engine } = opened;

  return {
    name,
    engine,
    precision: engine.precision,
    heldBytes: (model) => held.get(model) ?? 0,
    async predict(model, run, first, take, hooks) {
      const abort = () => send({ kind: "abort" });
      running = { take, hooks };
      takeError = undefined;
      hooks.signal?.addEventListener("abort", abort);
      try {
        if (hooks.signal?.aborted) throw new Interrupted("The prediction was stopped");
        const answer = await ask({ kind: "run", source: sourceOf(model), run, first });
        if (answer.kind !== "ended") throw new Error(`Predicting in a thread: it answered ${answer.kind}`);
        if (takeError !== undefined) throw takeError;
        const { steps, heldBytes, failed } = answer;
        held.set(model, heldBytes);
        return { steps, ...(failed && { failed: { error: fromPlainError(failed.error), isGone: failed.isGone } }) };
      } catch (error) {
        // Its heap was full, or it had no memory to begin with.
        if (error instanceof ThreadEnded) return { steps: [], failed: { error, isGone: true } };
        throw error;
      } finally {
        hooks.signal?.removeEventListener("abort", abort);
        running = undefined;
      }
    },
    async [Symbol.asyncDispose]() {
      if (!ended) await ask({ kind: "close" }).catch(() => {});
      worker.terminate();
    },
  };
}

/** The same model again: what was to be refused of it has been. */
function sourceOf({ folder, folds, configuration }: Model): ModelSource {
  return {
    folder,
    options: {
      folds: folds.map(({ name }) => name),
      checkpointName: basename(folds[0].file),
      assumePlansNetwork: true,
      overrideConfiguration: configuration.name,
    },
  };
}
