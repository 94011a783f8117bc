/**
 * The validation of a trained fold: its validation cases predicted whole, compared with the truth, and, before a cascade's next stage,
 * predicted on that stage's grid. Source: perform_actual_validation of nnunetv2/training/nnUNetTrainer/nnUNetTrainer.py (2.5.1).
 */
import { UserError } from "../base/errors.ts";
import { ensureFolder } from "../base/files.ts";
import { removeLeftovers } from "../base/leftovers.ts";
import { residentBytes } from "../base/memory_allowance.ts";
import { join } from "../base/path.ts";
import type { Engine } from "../engine/engine.ts";
import { evaluateFolder, type Evaluation } from "../evaluate/evaluate_folder.ts";
import type { Summary } from "../evaluate/summary.ts";
import { evaluatedOf } from "../evaluate/targets.ts";
import type { Checkpoint } from "../formats/torch/torch_checkpoint.ts";
import { predictCases } from "../predict/run/predict_cases.ts";
import type { PredictionEvent, PredictionHooks, PredictionRequest, PredictionSummary } from "../predict/run/request.ts";
import { keepModels } from "../predict/run/resident_models.ts";
import { type NextStageCase, predictNextStages } from "./next_stage.ts";
import type { TrainingSetup } from "./setup.ts";
import type { OpenedValidators } from "./shared_validation.ts";
import { trainedModel } from "./trained_model.ts";
import type { ValidationHooks, ValidationOptions } from "./validation_options.ts";

/** What predicts the cases. */
export interface ValidationRun {
  readonly engine: Engine;
  /** Instead of it: several, which share the cases. */
  readonly validators?: OpenedValidators;
}

export interface ValidatedFold {
  readonly folder: string;
  readonly summary: Summary;
}

/**
 * Validates a fold with a checkpoint's weights.
 * @throws UserError if a case can't be predicted; the others are then written, but there is no new summary
 */
export async function validateFold(
  run: ValidationRun,
  setup: TrainingSetup,
  checkpoint: Checkpoint,
  options: ValidationOptions,
  hooks: ValidationHooks,
): Promise<ValidatedFold> {
  const model = trainedModel(setup, checkpoint, options.assumePlansNetwork);
  const { dataset, plans, split, task, foldFolder } = setup;
  const folder = join(foldFolder, "validation");
  await ensureFolder(folder, "making the validation's folder");
  removeLeftovers(folder);
  const stored = {
    folder: setup.dataFolder,
    ...(setup.previousFolder !== undefined && { previousFolder: setup.previousFolder }),
  };
  let done = 0;
  hooks.onCase?.(done, split.val.length);
  const onEvent = (event: PredictionEvent) => {
    if (event.kind === "case") hooks.say(`predicting ${event.id}`);
    if (event.kind === "warning") hooks.warn(`${event.id}: ${event.message}`);
    if (event.kind === "done") hooks.onCase?.(++done, split.val.length);
  };
  const request = {
    model,
    cases: split.val.map((id) => ({ id, files: [], stored, output: join(folder, `${id}${dataset.fileEnding}`) })),
    options: {
      saveProbabilities: options.saveProbabilities,
      ...(options.maxMemory !== undefined && { maxMemory: options.maxMemory }),
    },
  };
  const { failed } = await predictAll(run, request, options, { onEvent, signal: options.signal });
  if (failed.length > 0) {
    throw new UserError({
      ...failed[0].error,
      problem: `${failed[0].error.problem} (${failed.length} of ${split.val.length} validation cases failed)`,
    });
  }
  const { validators } = run;
  // What they hold of their devices is the next stage's.
  await validators?.close();
  const share = validators && ((cases: readonly NextStageCase[]) => validators.shareNextStages(cases, options, hooks));
  await predictNextStages(run.engine, setup, model, options, hooks, share);
  const summary = await evaluateFolder({
    ...evaluatedOf(dataset),
    references: join(task.preprocessed, "gt_segmentations"),
    predictions: folder,
    reader: plans.reader,
    chill: true,
    ...evaluationLimit(options),
    output: join(folder, "summary.json"),
    ...(options.signal && { signal: options.signal }),
    onWarning: hooks.warn,
  });
  return { folder, summary };
}

async function predictAll(
  { engine, validators }: ValidationRun,
  request: Pick<PredictionRequest, "model" | "cases" | "options">,
  { saveProbabilities, maxMemory, lane }: ValidationOptions,
  hooks: PredictionHooks,
): Promise<Pick<PredictionSummary, "failed">> {
  if (validators) return await validators.runs.predictAll(request, hooks);
  if (!lane) return await predictCases({ ...request, engine }, hooks);
  await using kept = keepModels({ engine, options: { ...(maxMemory !== undefined && { maxMemory }) }, lane });
  return await kept.predict(request.model, { cases: request.cases, options: { saveProbabilities } }, hooks);
}

/** Comparing counts what the process has; beside other trainings that is theirs as well. */
function evaluationLimit({ maxMemory, lane }: ValidationOptions): Pick<Evaluation, "maxMemory"> {
  if (maxMemory === undefined) return {};
  return { maxMemory: lane ? residentBytes() + maxMemory - lane.runtimeBytes : maxMemory };
}
