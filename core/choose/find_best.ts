/**
 * Compares trained models, and every two of them as an ensemble, by their cross-validations, and finds the postprocessing of the best.
 * Source: find_best_configuration of nnunetv2/evaluation/find_best_configuration.py.
 */
import { UserError } from "../base/errors.ts";
import { writeAtomically } from "../base/files.ts";
import { pythonFloat } from "../base/json.ts";
import { join } from "../base/path.ts";
import { plural } from "../base/plural.ts";
import type { RootFolders } from "../dataset/environment.ts";
import { crossvalFolder, ensembleId, ENSEMBLES, modelId } from "../dataset/model_id.ts";
import { readDatasetJson } from "../dataset/read_dataset_json.ts";
import { ensembleCrossvalidations, listCrossvalidations } from "../ensemble/ensemble_crossvalidations.ts";
import type { TrainedModel } from "../ensemble/fold_files.ts";
import { evaluateFolder, pythonJoin } from "../evaluate/evaluate_folder.ts";
import { evaluatedOf } from "../evaluate/targets.ts";
import { readPlans } from "../plan/read_plans.ts";
import { decisionLine } from "../postprocess/decision_line.ts";
import { determinePostprocessing } from "../postprocess/determine.ts";
import { availableModels, previousStageOf, type WantedModels } from "./available_models.ts";
import { accumulateResults, type ComparisonOptions, listValidations } from "./crossval_results.ts";
import {
  type BestModel,
  type InferenceInformation,
  INFORMATION_FILE,
  informationText,
} from "./inference_information.ts";
import { type Instructions, INSTRUCTIONS_FILE, instructionsText } from "./instructions.ts";
import { truthOfDataset } from "./truth_folder.ts";

export interface BestRequest extends WantedModels, Omit<ComparisonOptions, "onCase"> {
  readonly folders: RootFolders & { readonly results: string };
  readonly folds: readonly number[];
  /** Compare ensembles of two models as well. */
  readonly ensembling: boolean;
  /** False: what an earlier run has collected and averaged is not done again. */
  readonly overwrite: boolean;
  readonly instructions: Pick<Instructions, "commands" | "processes">;
  /** Is told what Python's nnU-Net prints. */
  readonly say: (text: string) => void;
  /** Counts the cases of a stage of the work. */
  readonly count?: (what: string) => (done: number, of: number) => void;
  /** Of each model and ensemble, as it is known. */
  readonly onResult?: (id: string, dice: number) => void;
}

export interface BestFound extends InferenceInformation {
  /** What follows from it, as in inference_instructions.txt. */
  readonly instructions: string;
  readonly informationFile: string;
  readonly instructionsFile: string;
}

/** A model or an ensemble that is compared. */
interface Candidate {
  readonly id: string;
  readonly models: readonly TrainedModel[];
  /** Its segmentations of all folds, with summary.json. */
  readonly source: string;
  readonly dice: number;
}

/**
 * Writes crossval_results_folds_* of every model, ensembles/*, the best one's postprocessing, inference_information.json and
 * inference_instructions.txt. Whatever is missing for that is found before the work begins.
 * @throws UserError if folds are not trained, or validated without --npz; Interrupted if the signal aborts: --no_overwrite goes on
 */
export async function findBestConfiguration(request: BestRequest): Promise<BestFound> {
  const { dataset, folds, folders, say } = request;
  const models = await availableModels(request, folders, say);
  const truth = await truthOfDataset(folders, dataset);
  await checkFolds(request, models);
  const candidates: Candidate[] = [];
  const add = (candidate: Candidate) => {
    candidates.push(candidate);
    request.onResult?.(candidate.id, candidate.dice);
  };
  for (const model of models) add(await compareModel(request, model));
  if (request.ensembling) {
    for (const [i, first] of models.entries()) {
      for (const second of models.slice(i + 1)) add(await compareEnsemble(request, [first, second], truth));
    }
  }
  const best = choose(candidates);
  say("\n***All results:***");
  for (const { id, dice } of candidates) say(`${id}: ${shown(dice)}`);
  say(`\n*Best*: ${best.id}: ${shown(best.dice)}\n`);
  say("***Determining postprocessing for best model/ensemble***");
  const { after } = await determinePostprocessing({
    predictions: best.source,
    references: truth,
    dataset: await readDatasetJson(join(best.source, "dataset.json")),
    reader: (await readPlans(join(best.source, "plans.json"))).reader,
    keepPostprocessed: true,
    threads: request.threads,
    maxMemory: request.maxMemory,
    signal: request.signal,
    onDecision: (decision) => say(decisionLine(decision)),
    onWarning: request.onWarning,
  });
  const information: InferenceInformation = {
    dataset,
    folds,
    ensembling: request.ensembling,
    considered: models,
    results: new Map(candidates.map(({ id, dice }) => [id, dice])),
    best: best.models,
    before: best.dice,
    after,
    postprocessingFile: pythonJoin(best.source, "postprocessing.pkl"),
    plansFile: pythonJoin(best.source, "plans.json"),
  };
  return await write(request, information);
}

async function write(request: BestRequest, information: InferenceInformation): Promise<BestFound> {
  const { dataset, folders, signal } = request;
  const bestModels: BestModel[] = [];
  for (const model of information.best) {
    const previousStage = await previousStageOf(model);
    bestModels.push({ ...model, ...(previousStage !== undefined && { previousStage }) });
  }
  const instructions = instructionsText({
    dataset,
    folds: information.folds,
    models: bestModels,
    postprocessingFile: information.postprocessingFile,
    plansFile: information.plansFile,
    ...request.instructions,
  });
  const results = join(folders.results, dataset);
  const [informationFile, instructionsFile] = [join(results, INFORMATION_FILE), join(results, INSTRUCTIONS_FILE)];
  const options = { doing: "writing what was chosen", removesLeftovers: true, ...(signal && { signal }) };
  await writeAtomically(instructionsFile, instructions, options);
  await writeAtomically(informationFile, informationText(information), options);
  return { ...information, instructions, informationFile, instructionsFile };
}

/** @throws UserError if a fold is not there, or has no probabilities where they are needed */
async function checkFolds(request: BestRequest, models: readonly TrainedModel[]): Promise<void> {
  for (const model of models) {
    const { fileEnding } = await readDatasetJson(join(model.folder, "dataset.json"));
    await listValidations({ model, folds: request.folds }, fileEnding);
  }
  if (request.ensembling && models.length > 1) await listCrossvalidations(models, request.folds);
}

async function compareModel(request: BestRequest, model: TrainedModel): Promise<Candidate> {
  const id = modelId(model);
  const source = pythonJoin(model.folder, crossvalFolder(request.folds));
  const { dice } = await accumulateResults({
    model,
    folds: request.folds,
    output: source,
    overwrite: request.overwrite,
    folders: request.folders,
    threads: request.threads,
    maxMemory: request.maxMemory,
    signal: request.signal,
    onCase: request.count?.(`${model.configuration}: cases compared`),
    onWarning: request.onWarning,
  });
  return { id, models: [model], source, dice };
}

async function compareEnsemble(
  request: BestRequest,
  models: readonly [TrainedModel, TrainedModel],
  truth: string,
): Promise<Candidate> {
  const { folds, folders, overwrite, threads, maxMemory, signal, count } = request;
  const [first, second] = models;
  const id = ensembleId(modelId(first), modelId(second), folds);
  const source = pythonJoin(pythonJoin(pythonJoin(folders.results, request.dataset), ENSEMBLES), id);
  const what = `${first.configuration} and ${second.configuration}: cases`;
  const onAveraged = count?.(`${what} averaged`);
  const failed = await ensembleCrossvalidations({
    models,
    folds,
    output: source,
    overwrite,
    threads,
    maxMemory,
    signal,
    onCase: onAveraged,
  });
  if (failed.length > 0) {
    const { error } = failed[0];
    const all = `${plural(failed.length, "case")} could not be averaged: ${failed.map((one) => one.id).join(", ")}`;
    throw new UserError({ ...error, problem: `${error.problem} (${all})` });
  }
  const dataset = await readDatasetJson(join(first.folder, "dataset.json"));
  const summary = await evaluateFolder({
    ...evaluatedOf(dataset),
    references: truth,
    predictions: source,
    reader: (await readPlans(join(first.folder, "plans.json"))).reader,
    chill: true,
    output: join(source, "summary.json"),
    threads,
    maxMemory,
    signal,
    onCase: count?.(`${what} compared`),
    onWarning: request.onWarning,
  });
  return { id, models, source, dice: summary.foregroundMean.Dice };
}

/** The first of those with the highest mean Dice: a single model before an ensemble. */
function choose(candidates: readonly Candidate[]): Candidate {
  const best = candidates.reduce((
    a,
    b,
  ) => (b.dice > a.dice || (Number.isNaN(a.dice) && !Number.isNaN(b.dice)) ? b : a));
  if (!Number.isNaN(best.dice)) return best;
  throw new UserError({
    doing: "choosing the best model",
    file: join(best.source, "summary.json"),
    problem: "the mean Dice of the foreground is NaN for every model, as a label is in none of the cases",
    remedy: "take that label out of dataset.json (of the model's folders too), or choose by the other labels' means",
  });
}

/** Python's print of a float. */
function shown(dice: number): string {
  return Number.isNaN(dice) ? "nan" : pythonFloat(dice);
}
