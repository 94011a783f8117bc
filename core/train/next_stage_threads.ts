/** Cases of a cascade's next stage on several engines, each in a thread of its own that opens the fold's model for itself. */
import { Interrupted, messageOf } from "../base/errors.ts";
import { type JobThread, type RunJob, startJobThread, type ThreadStart } from "../base/worker_thread.ts";
import type { Engine } from "../engine/engine.ts";
import { openCheckpoint } from "../formats/torch/torch_checkpoint.ts";
import type { TrainingRecipe } from "../trainers/training_recipe.ts";
import { type NextStageCase, type NextStages, openNextStages } from "./next_stage.ts";
import { readTrainingSetup, type TrainingTask } from "./setup.ts";
import { trainedModel } from "./trained_model.ts";
import type { ValidationOptions } from "./validation_options.ts";

/** What a thread opens the fold by. */
export interface NextStageSetting extends Pick<ValidationOptions, "maxMemory" | "lane" | "assumePlansNetwork"> {
  readonly task: TrainingTask;
  readonly recipe: TrainingRecipe;
  readonly checkpointFile: string;
}

export type NextStageJob = { readonly kind: "predict"; readonly one: NextStageCase } | { readonly kind: "close" };

/** In the thread: opens engine and model with the first case. */
export function serveNextStages(
  { task, recipe, checkpointFile, assumePlansNetwork, ...options }: NextStageSetting,
  openEngine: () => Promise<Engine & AsyncDisposable>,
): RunJob<NextStageJob, undefined> {
  const opened = new AsyncDisposableStack();
  let stages: NextStages | undefined;

  async function open(signal: AbortSignal): Promise<NextStages> {
    const setup = await readTrainingSetup(task, recipe);
    const checkpoint = opened.use(await openCheckpoint(checkpointFile));
    const engine = opened.use(await openEngine());
    const model = trainedModel(setup, checkpoint, assumePlansNetwork);
    return opened.use(openNextStages(engine, setup, model, { ...options, signal }));
  }

  return async (job, signal) => {
    if (job.kind === "close") return void await opened.disposeAsync();
    stages ??= await open(signal);
    await stages.predict(job.one);
  };
}

/** How an engine's thread is started, whose script answers with {@link serveNextStages}. */
export interface NextStageStart<Setting> extends ThreadStart<Setting> {
  /** Of its engine, for messages: "GPU 1, NVIDIA T4". */
  readonly name: string;
}

/**
 * Whoever is free takes the next case; an engine that fails at one takes no more.
 * @returns the cases that were not done
 * @throws Interrupted when the signal aborts
 */
export async function shareNextStages<Setting>(
  starts: readonly NextStageStart<Setting>[],
  cases: readonly NextStageCase[],
  warn: (line: string) => void,
  signal?: AbortSignal,
): Promise<readonly NextStageCase[]> {
  const left = [...cases];
  const failed: NextStageCase[] = [];
  const threads = starts.slice(0, cases.length).map(({ name, ...start }) => ({
    name,
    thread: startJobThread<Setting, NextStageJob, undefined>(start),
  }));
  const abort = () => threads.forEach(({ thread }) => thread.abort());
  signal?.addEventListener("abort", abort);
  const work = async (name: string, thread: JobThread<NextStageJob, undefined>) => {
    for (let one = left.shift(); one && !signal?.aborted; one = left.shift()) {
      try {
        await thread.run({ kind: "predict", one });
      } catch (error) {
        failed.push(one);
        if (error instanceof Interrupted || signal?.aborted) return;
        return warn(`${name} failed at case ${one.id} of ${one.configuration}, and is left out: ${messageOf(error)}`);
      }
    }
    await thread.run({ kind: "close" });
  };
  try {
    await Promise.allSettled(threads.map(({ name, thread }) => work(name, thread)));
  } finally {
    signal?.removeEventListener("abort", abort);
    for (const { thread } of threads) thread[Symbol.dispose]();
  }
  if (signal?.aborted) throw new Interrupted("The validation was stopped");
  return [...failed, ...left];
}
