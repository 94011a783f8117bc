/** The engine of a run, and what goes on in its place when a GPU fails on the way: the GPU once more, in smaller pieces, or the CPU. */
import type { Engine } from "../../core/engine/engine.ts";
import { WrongResults } from "../../core/predict/model/model_check.ts";
import { MOST_SUSPECTS } from "./gpu_start.ts";
import {
  type ChosenEngine,
  type EngineWish,
  mayUseCpu,
  openGpu,
  selectEngine,
  startCpu,
  type StartHooks,
} from "./select_engine.ts";

export interface RunEngines extends AsyncDisposable {
  readonly current: ChosenEngine;
  /** For {@link PredictionRequest.recover}: opens the next engine if the present one has failed. */
  recover(error: unknown, attempt: number): (() => Promise<Engine>) | undefined;
  /** For {@link PredictionRequest.renew}: of the CPU engine, whose memory only grows. */
  renew(): (() => Promise<Engine>) | undefined;
}

export interface RunEngineHooks extends StartHooks {
  /** Another engine goes on; `why` is a sentence for the user. */
  readonly onChange: (chosen: ChosenEngine, why: string) => void;
}

/** A case is tried again on the GPU so often, each time in pieces of half the bytes; and all cases of a run together so often. */
const [CASE_RETRIES, RUN_RETRIES] = [2, 4];
const SMALLER = "in smaller pieces";

/** Starts the engine of a run; whichever is the current one is disposed of in the end. @throws as {@link selectEngine} */
export async function openEngines(wish: EngineWish, hooks: RunEngineHooks): Promise<RunEngines> {
  const first = await selectEngine(wish, hooks);
  let current = first;
  let retries = 0;
  /** Once the device was lost: the next engines look for the kernel that it was lost by, among them these. */
  let suspects: Set<string> | undefined;

  async function reopenGpu(failure: Error, how: string): Promise<ChosenEngine> {
    if (how === SMALLER) retries++;
    const chosen = await openGpu(wish, first.reason, hooks, suspects);
    hooks.onChange(chosen, `the GPU failed and is tried again, ${how}: ${failure.message}`);
    return chosen;
  }

  async function takeCpu(failure: Error): Promise<ChosenEngine> {
    const because = wish.allowCpu ? " (--allow_cpu)" : "";
    const why = `the GPU failed, the CPU goes on${because}: ${failure.message}`;
    const chosen = await startCpu(wish, why, true);
    const said: ChosenEngine = { ...chosen, reasonSaid: true };
    hooks.onChange(said, why);
    return said;
  }

  return {
    get current() {
      return current;
    },
    recover(error, attempt) {
      // A device that computes a model wrong has not failed, and would do so again.
      const isWrong = error instanceof WrongResults;
      const failure = isWrong ? error : current.lastFailure();
      if (!failure) return undefined;
      const mayRetry = !isWrong && attempt <= CASE_RETRIES && retries < RUN_RETRIES;
      const learn = current.lesson();
      const suspect = current.suspect();
      if (current.wasLost()) suspects ??= new Set();
      if (suspect !== undefined) suspects?.add(suspect);
      const looks = suspect !== undefined && suspects !== undefined && suspects.size <= MOST_SUSPECTS;
      const how = learn ? "another way" : looks ? "kernel by kernel" : SMALLER;
      const again = mayRetry || learn !== undefined || looks;
      if (!again && !mayUseCpu(wish)) return undefined;
      return async () => {
        await current.engine[Symbol.asyncDispose]();
        await learn?.();
        if (again) {
          try {
            return (current = await reopenGpu(failure, how)).engine;
          } catch (error) {
            if (!mayUseCpu(wish)) throw error;
          }
        }
        return (current = await takeCpu(failure)).engine;
      };
    },
    renew() {
      const { engine, reason, overridden } = current;
      if (engine.kind !== "cpu") return undefined;
      return async () => {
        await engine[Symbol.asyncDispose]();
        return (current = await startCpu(wish, reason, overridden)).engine;
      };
    },
    [Symbol.asyncDispose]: async () => await current.engine[Symbol.asyncDispose](),
  };
}
