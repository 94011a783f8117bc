/**
 * What a run computes with: an engine, the precision and the network on it. All of it is replaced when the engine has failed and another
 * one goes on in its place, in smaller pieces.
 */
import { collectGarbage } from "../../base/collect_garbage.ts";
import type { Engine, Precision, WeightSet } from "../../engine/engine.ts";
import type { PreprocessedCase } from "../../preprocess/case.ts";
import { type LoadedNetwork, loadNetwork } from "./network.ts";
import { usualBatch } from "../stream/stream_candidates.ts";
import { measurePace } from "../run/pace.ts";
import { checkKey, compareModel, WrongResults } from "./model_check.ts";
import { choosePrecision, modelKey } from "./precision.ts";
import type { PredictionEvent, PredictionOptions, PredictionRequest } from "../run/request.ts";

export interface Session extends AsyncDisposable {
  readonly engine: Engine;
  /**
   * The network on the engine; the first case decides the precision where that is left open.
   * @param onEvent Is told of that decision
   */
  network(input: PreprocessedCase, onEvent?: (event: PredictionEvent) => void): Promise<LoadedNetwork>;
  /**
   * Does beforehand what the first case will need and that takes time, as far as it can be known: kernels are compiled while the case is
   * read. What fails here fails again with the case.
   */
  warmUp(mirrorings: number, signal?: AbortSignal): Promise<void>;
  /** The network, if a case has got so far. */
  readonly loaded: LoadedNetwork | undefined;
  /** Bytes the next plans should stay below, if any way does: what the engine has of its own, and less once one has failed. */
  readonly aim: number | undefined;
  /** Seconds that a plan's forecast should say, measured once where they are many. */
  forecast(plannedSeconds: number): Promise<number>;
  /** Remembers what a case was planned with, for the aim after a failure. */
  planned(bytes: number): void;
  /** Gives back what the engine keeps of its memory, if the request has a way. @returns false if not */
  renew(): Promise<boolean>;
  /**
   * Goes on with another engine, if the request has one for this error: smaller pieces on a GPU, as before on a CPU.
   * @returns false if the error stands
   */
  recover(error: unknown, attempt: number): Promise<boolean>;
}

/** Of a request, what a session is made of. */
export interface SessionSource extends Pick<PredictionRequest, "engine" | "model" | "renew" | "recover"> {
  readonly options?: Pick<PredictionOptions, "precision" | "precisionCache" | "maxMemory">;
}

/** Seconds of a forecast from which on it is worth a quarter of a second to know the machine's speed. */
const WORTH_MEASURING = 5;

export function openSession(request: SessionSource): Session {
  const { model, options = {} } = request;
  let { engine } = request;
  let loaded: LoadedNetwork | undefined;
  /** Loaded before the precision was certain; has taken nothing yet. */
  let warm: { readonly precision: Precision; readonly network: LoadedNetwork } | undefined;
  let aim: number | undefined;
  let lastBytes: number | undefined;
  let pace: number | undefined;
  let id: string | undefined;

  /** Reads weights of all folds, so once. */
  const modelId = () => id ??= modelKey(model);

  async function precisionFor(
    input: PreprocessedCase,
    onEvent: ((event: PredictionEvent) => void) | undefined,
    keep: (weights: WeightSet) => void,
  ): Promise<Precision> {
    const { precision = "f32" } = options;
    if (engine.kind === "cpu") return "f32";
    if (precision !== "auto") return precision;
    const choice = await choosePrecision(engine, model, input, options.precisionCache, keep, modelId());
    onEvent?.({ kind: "precision", ...choice });
    return choice.precision;
  }

  /** The precision if the engine computes the model right in it, else the one that it does. @throws WrongResults if there is none */
  async function rightPrecision(
    precision: Precision,
    input: PreprocessedCase,
    onEvent: ((event: PredictionEvent) => void) | undefined,
  ): Promise<Precision> {
    const { checks } = options.precisionCache ?? {};
    if (engine.kind === "cpu" || !checks) return precision;
    const key = checkKey(modelId(), precision);
    let finding = checks.get(key);
    if (!finding) {
      finding = await compareModel(engine, model, input, precision, checks, options.maxMemory !== undefined);
      await checks.set(key, finding);
    }
    const { passed, why } = finding;
    if (passed) return precision;
    if (precision === "f32" || options.precision !== "auto") throw wrongResults(precision, why);
    const choice = { precision: "f32", why: `in f16 ${why}` } as const;
    await options.precisionCache?.set(modelId(), choice);
    onEvent?.({
      kind: "warning",
      id: input.id,
      message: `the GPU computes this model wrong in f16 (${why}): f32 is taken`,
    });
    onEvent?.({ kind: "precision", ...choice });
    return await rightPrecision("f32", input, onEvent);
  }

  function wrongResults(precision: Precision, why: string): WrongResults {
    const otherwise = precision === "f16" ? "leave --precision out, or " : "";
    return new WrongResults({
      doing: `comparing the model on ${engine.description} with the CPU`,
      file: model.folder,
      problem: `the GPU computes it wrong in ${precision} (${why})`,
      remedy: `${otherwise}compute with -device cpu; another version of the graphics driver may be right`,
    });
  }

  /** The precision that a case will be computed in, unless a trial decides. */
  function knownPrecision(): Precision | undefined {
    const { precision = "f32", precisionCache } = options;
    return precision === "auto" ? precisionCache?.get(modelId())?.precision : precision;
  }

  const load = (precision: Precision, weights?: WeightSet) =>
    loadNetwork(engine, model, options.maxMemory !== undefined, precision, weights);

  async function close(): Promise<void> {
    warm = undefined;
    await loaded?.[Symbol.asyncDispose]();
    loaded = undefined;
  }

  return {
    get engine() {
      return engine;
    },
    get loaded() {
      return loaded;
    },
    get aim() {
      return aim ?? engine.ownMemory?.free;
    },
    async warmUp(mirrorings, signal) {
      if (loaded || warm || !engine.prepare) return;
      const precision = knownPrecision();
      warm = { precision: precision ?? "f32", network: load(precision ?? "f32") };
      const { network } = warm;
      try {
        // A trial of both precisions begins with f32 and single samples.
        const batch = precision === undefined ? 1 : usualBatch({ ...network, mirrorings });
        await network.prepare(batch, signal);
      } catch {
        warm = undefined;
      }
    },
    async network(input, onEvent) {
      if (loaded) return loaded;
      let weights: WeightSet | undefined;
      try {
        const wanted = await precisionFor(input, onEvent, (kept) => weights = kept);
        const precision = await rightPrecision(wanted, input, onEvent);
        return loaded = warm?.precision === precision && !weights ? warm.network : load(precision, weights);
      } catch (error) {
        weights?.[Symbol.dispose]();
        throw error;
      }
    },
    async forecast(plannedSeconds) {
      if (plannedSeconds < WORTH_MEASURING) return plannedSeconds;
      pace ??= await measurePace(engine);
      return plannedSeconds * pace;
    },
    planned(bytes) {
      lastBytes = bytes;
    },
    async renew() {
      const reopen = request.renew?.();
      if (!reopen) return false;
      await close();
      engine = await reopen();
      collectGarbage();
      return true;
    },
    async recover(error, attempt) {
      const reopen = request.recover?.(error, attempt);
      if (!reopen) return false;
      await close();
      engine = await reopen();
      pace = undefined;
      aim = engine.kind === "gpu" && lastBytes !== undefined ? lastBytes / 2 : undefined;
      return true;
    },
    [Symbol.asyncDispose]: close,
  };
}
