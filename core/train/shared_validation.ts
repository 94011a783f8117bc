/** The final validation on several engines, which read the fold's model from its folder. */
import { reformatJson } from "../base/json.ts";
import { join } from "../base/path.ts";
import { readTextOrNull } from "../base/read_text.ts";
import type { Checkpoint } from "../formats/torch/torch_checkpoint.ts";
import { shareOfLimit } from "../predict/run/run_memory.ts";
import type { NextStageCase } from "./next_stage.ts";
import { shareNextStages } from "./next_stage_threads.ts";
import type { TrainingSetup } from "./setup.ts";
import { trainingLane } from "./training_memory.ts";
import { checkpointPaths } from "./training_folder.ts";
import type { ValidationEngines, Validators } from "./train_request.ts";
import type { ValidationHooks, ValidationOptions } from "./validation_options.ts";

/**
 * Opens those of a request, no more than there are cases; undefined where one engine is enough, or has to be.
 * @param info Told which they are, or why there is one alone
 * @throws UserError if none can be used
 */
export async function openValidators(
  engines: ValidationEngines | undefined,
  setup: TrainingSetup,
  checkpoint: Checkpoint,
  info: (line: string) => void,
): Promise<OpenedValidators | undefined> {
  const { val } = setup.split;
  if (!engines || val.length < 2) return undefined;
  const obstacle = await obstacleOf(setup, checkpoint);
  if (obstacle !== undefined) {
    info(`one GPU validates: ${obstacle}`);
    return undefined;
  }
  const { runs, description, ...opened } = await engines.open(val.length);
  info(`validating on ${description}`);
  let closing: Promise<void> | undefined;
  const close = () => closing ??= Promise.resolve(opened[Symbol.asyncDispose]());
  return {
    runs,
    close,
    async shareNextStages(cases, { assumePlansNetwork, maxMemory, signal }, { warn }) {
      const { task, recipe } = setup;
      const own = { task, recipe, checkpointFile: checkpoint.file, assumePlansNetwork };
      const count = Math.min(cases.length, engines.nextStages(own).length);
      const lane = trainingLane(count);
      const setting = { ...own, lane, ...(maxMemory !== undefined && { maxMemory: shareOfLimit(maxMemory, lane) }) };
      return await shareNextStages(engines.nextStages(setting).slice(0, count), cases, warn, signal);
    },
    [Symbol.asyncDispose]: close,
  };
}

/** Those that predict the cases of a validation. */
export interface OpenedValidators extends AsyncDisposable, Pick<Validators, "runs"> {
  /** Once more does no harm. */
  close(): Promise<void>;
  /** Predicts cases of a cascade's next stages. @returns those that could not be */
  shareNextStages(
    cases: readonly NextStageCase[],
    options: ValidationOptions,
    hooks: Pick<ValidationHooks, "warn">,
  ): Promise<readonly NextStageCase[]>;
}

/** Why the others would not read what this training has. */
async function obstacleOf(
  { modelFolder, foldFolder, texts }: TrainingSetup,
  { file }: Checkpoint,
): Promise<string | undefined> {
  if (!checkpointPaths(foldFolder).includes(file)) {
    return "the others read the weights from a checkpoint, and --disable_checkpointing writes none";
  }
  for (const [name, text] of [["plans.json", texts.plans], ["dataset.json", texts.dataset]] as const) {
    const path = join(modelFolder, name);
    const there = await readTextOrNull(path, "reading the model's files");
    if (there === null || reformatJson(there, path) !== reformatJson(text, name)) {
      return `the others read ${path}, which is not that of the preprocessed dataset any more`;
    }
  }
  return undefined;
}
