/** A thread's own side: an engine, models on it, and the cases it is given, one run at a time. */
import { toPlainError } from "../../core/base/plain_error.ts";
import { type Model, openModel } from "../../core/predict/model/model_folder.ts";
import type { CaseToPredict } from "../../core/predict/run/request.ts";
import { keepModels, type ResidentModels } from "../../core/predict/run/resident_models.ts";
import { measureRuntime, shareOfLimit } from "../../core/predict/run/run_memory.ts";
import { openEngines, type RunEngines } from "../engines/run_engines.ts";
import type { FromThread, ModelSource, ThreadSetting, ToThread } from "./messages.ts";

/** The worker's `self`. */
export interface GpuThreadPort {
  onmessage: ((event: MessageEvent<ToThread>) => void) | null;
  postMessage(message: FromThread): void;
}

interface Opened extends AsyncDisposable {
  readonly engines: RunEngines;
  readonly kept: ResidentModels;
  /** Why the engine cannot go on, once it cannot. */
  readonly lost: Error | undefined;
}

export function answerRuns(port: GpuThreadPort): void {
  const models = new Map<string, Model>();
  let setting: ThreadSetting | undefined;
  let opened: Opened | undefined;
  let taking: ((one: CaseToPredict | undefined) => void) | undefined;
  let controller = new AbortController();
  const hooks = {
    say: (line: string) => port.postMessage({ kind: "say", line }),
    warn: (line: string) => port.postMessage({ kind: "warn", line }),
  };

  async function open(asked: ThreadSetting): Promise<FromThread> {
    setting = asked;
    opened = await openEngine(asked, hooks);
    const { engine, reason, precision } = opened.engines.current;
    const { kind, description } = engine;
    return { kind: "opened", engine: { kind, description, reason, precision } };
  }

  async function modelOf({ folder, options }: ModelSource): Promise<Model> {
    const key = JSON.stringify([folder, options]);
    const model = models.get(key) ?? await openModel(folder, options);
    models.set(key, model);
    return model;
  }

  async function run({ source, run: asked, first }: ToThread & { readonly kind: "run" }): Promise<FromThread> {
    if (!opened || !setting) throw new Error("Predicting in a thread: it has no engine");
    controller = new AbortController();
    const { kept } = opened;
    const model = await modelOf(source);
    const take = () => {
      const answer = Promise.withResolvers<CaseToPredict | undefined>();
      taking = answer.resolve;
      port.postMessage({ kind: "take" });
      return answer.promise;
    };
    const { steps } = await kept.predictTaken(model, asked, first, take, {
      signal: controller.signal,
      onEvent: (event) => port.postMessage({ kind: "event", event }),
    });
    const { lost } = opened;
    if (!lost) return { kind: "ended", steps, heldBytes: kept.heldBytes(model) };
    const error = toPlainError(lost);
    await opened[Symbol.asyncDispose]();
    opened = undefined;
    try {
      opened = await openEngine(setting, hooks);
      return { kind: "ended", steps, heldBytes: 0, failed: { error, isGone: false } };
    } catch {
      return { kind: "ended", steps, heldBytes: 0, failed: { error, isGone: true } };
    }
  }

  async function close(): Promise<FromThread> {
    await opened?.[Symbol.asyncDispose]();
    for (const model of models.values()) model[Symbol.dispose]();
    return { kind: "closed" };
  }

  const answer = (what: Promise<FromThread>) =>
    what.catch((error): FromThread => ({ kind: "error", error: toPlainError(error) }))
      .then((message) => port.postMessage(message));

  port.onmessage = ({ data }) => {
    if (data.kind === "open") answer(open(data.setting));
    else if (data.kind === "run") answer(run(data));
    else if (data.kind === "close") answer(close());
    else if (data.kind === "abort") controller.abort();
    else taking?.(data.one);
  };
}

async function openEngine(
  { wish, maxMemory, of }: ThreadSetting,
  hooks: { readonly say: (line: string) => void; readonly warn: (line: string) => void },
): Promise<Opened> {
  const engines = await openEngines(wish, {
    ...hooks,
    onChange: (_chosen, why) => hooks.warn(wish.gpu ? `${wish.gpu.label}: ${why}` : why),
  });
  let lost: Error | undefined;
  const { engine, precision, precisionCache } = engines.current;
  const runtimeBytes = measureRuntime(engine);
  const lane = { runtimeBytes, of };
  const share = maxMemory === undefined ? undefined : shareOfLimit(maxMemory, lane);
  const kept = keepModels({
    engine,
    options: { precision, ...(precisionCache && { precisionCache }), ...(share !== undefined && { maxMemory: share }) },
    lane,
    isLost: () => lost !== undefined,
    renew: engines.renew,
    recover(error, attempt) {
      const reopen = engines.recover(error, attempt);
      const failure = engines.current.lastFailure();
      if (!reopen) {
        lost ??= failure;
        return undefined;
      }
      return async () => {
        try {
          return await reopen();
        } catch (second) {
          lost ??= failure ?? (second instanceof Error ? second : new Error(String(second)));
          throw second;
        }
      };
    },
  });
  return {
    engines,
    kept,
    get lost() {
      return lost;
    },
    async [Symbol.asyncDispose]() {
      await kept[Symbol.asyncDispose]();
      await engines[Symbol.asyncDispose]();
    },
  };
}
