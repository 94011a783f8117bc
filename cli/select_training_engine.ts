/** Which engine trains, and why. */
import { UserError } from "../core/base/errors.ts";
import type { Engine } from "../core/engine/engine.ts";
import type { TrainingEngine } from "../core/engine/training.ts";
import { type EngineWish, selectEngine, startCpu } from "./select_engine.ts";

export interface ChosenTrainingEngine {
  readonly engine: Engine & TrainingEngine;
  /** Why it is this one, a sentence for the user; empty where it is what was asked for. */
  readonly reason: string;
}

/** Starts the engine; the caller disposes it. @throws UserError if a GPU is asked for that cannot be used, without --allow_cpu */
export async function selectTrainingEngine(wish: EngineWish): Promise<ChosenTrainingEngine> {
  const { engine, reason } = await selectEngine(wish);
  if (canTrain(engine)) return { engine, reason };
  await engine[Symbol.asyncDispose]();
  const problem = "the GPU engine cannot train in this version";
  if (wish.device !== "auto" && !wish.allowCpu) {
    throw new UserError({
      doing: `starting an engine for -device ${wish.device}`,
      problem,
      remedy: "say -device cpu, or add --allow_cpu",
    });
  }
  const chosen = await startCpu(wish, problem, true);
  if (!canTrain(chosen.engine)) throw new Error("The CPU engine cannot train");
  return { engine: chosen.engine, reason: problem };
}

function canTrain(engine: Engine): engine is Engine & TrainingEngine {
  return "compileTraining" in engine;
}
