/**
 * Everything a training is made of, read and checked before anything is computed: plans, dataset.json, network, fold, samples.
 * Source: __init__, initialize and get_dataloaders of nnunetv2/training/nnUNetTrainer/nnUNetTrainer.py (2.5.1).
 */
import { plural } from "../base/plural.ts";
import { readFolder } from "../base/read_folder.ts";
import { UserError } from "../base/errors.ts";
import { join } from "../base/path.ts";
import { requirePathName } from "../base/path_name.ts";
import type { DatasetJson } from "../dataset/dataset_json.ts";
import { isFolder } from "../dataset/dataset_names.ts";
import { modelId } from "../dataset/model_id.ts";
import { readDatasetJson } from "../dataset/read_dataset_json.ts";
import type { Precision } from "../engine/engine.ts";
import type { LossOptions, TrainingOptions } from "../engine/training.ts";
import type { Graph } from "../graph/graph.ts";
import { withTrainer } from "../trainers/trainer_network.ts";
import { buildGraph } from "../network/build_graph.ts";
import { weightShapes } from "../graph/weight_shapes.ts";
import { checkPatch } from "../plan/check_patch.ts";
import type { Configuration, Plans } from "../plan/plans.ts";
import { isPlansName, requirePlansName } from "../plan/plans_name.ts";
import { readPlans, resolveConfiguration } from "../plan/read_plans.ts";
import { requireMadeFrom } from "../preprocess/data_setting.ts";
import { previousStageCase } from "../preprocess/predicted_previous_stage.ts";
import { listPreprocessedCases } from "../preprocess/training_case_reader.ts";
import { deriveAugmentation, type DerivedAugmentation } from "./augment/spec.ts";
import type { TrainingRecipe } from "../trainers/training_recipe.ts";
import { outputWeights } from "./recipe.ts";
import { chooseSplit, type ChosenSplit, type Fold } from "./splits.ts";

/** Which training of which dataset. */
export interface TrainingTask {
  readonly datasetName: string;
  /** The dataset's folder in nnUNet_preprocessed. */
  readonly preprocessed: string;
  /** The dataset's folder in nnUNet_results. */
  readonly results: string;
  readonly plansName: string;
  readonly configurationName: string;
  readonly fold: Fold;
  /** True: a fold that the split does not have is one drawn at random. */
  readonly randomSplit?: boolean;
}

export interface TrainingSetup {
  readonly task: TrainingTask;
  readonly recipe: TrainingRecipe;
  readonly plans: Plans;
  readonly dataset: DatasetJson;
  readonly configuration: Configuration;
  readonly batch: number;
  /** Texts of plans and dataset.json. */
  readonly texts: { readonly plans: string; readonly dataset: string };
  /** With an output for each decoder stage. */
  readonly graph: Graph;
  readonly inputChannels: number;
  /** Torch's shapes by parameter: 4-D kernels in 2-D networks. */
  readonly shapes: ReadonlyMap<string, readonly number[]>;
  readonly augmentation: DerivedAugmentation;
  readonly split: ChosenSplit;
  /** Preprocessed cases of the configuration. */
  readonly dataFolder: string;
  /** Predictions of the previous stage. */
  readonly previousFolder?: string;
  /** <trainer>__<plans>__<configuration>. */
  readonly modelFolder: string;
  readonly foldFolder: string;
  /** Names of the foreground classes or regions in the order of the pseudo Dice. */
  readonly classNames: readonly string[];
}

const DOING = "preparing the training";

/** @throws UserError naming what is missing or does not fit, and what to do */
export async function readTrainingSetup(task: TrainingTask, recipe: TrainingRecipe): Promise<TrainingSetup> {
  const { preprocessed, plansName, configurationName, fold } = task;
  requirePlansName(plansName, { doing: DOING });
  requirePathName(recipe.folderName, "the trainer's name", { doing: DOING });
  const plansFile = join(preprocessed, `${plansName}.json`);
  const datasetFile = join(preprocessed, "dataset.json");
  await requireFiles(task, plansFile, datasetFile);
  const plans = await readPlans(plansFile);
  const dataset = await readDatasetJson(datasetFile);
  const { labels, channelNames } = dataset;
  const planned = resolveConfiguration(plans, configurationName);
  checkChannels(dataset, planned, datasetFile);
  checkLoss(recipe, dataset, datasetFile);
  const network = trainingNetwork(planned, dataset, recipe);
  const { configuration, graph } = network;
  checkPatch(graph, configuration, {
    doing: DOING,
    file: plansFile,
    remedy: "change the patch_size, or plan the dataset again",
  });

  const dataFolder = join(preprocessed, configuration.dataIdentifier);
  if (!await isFolder(dataFolder)) throw notPreprocessed(task, dataFolder);
  await requireMadeFrom(dataFolder, plans, planned, dataset, { doing: DOING, remedy: `run ${preprocessAgain(task)}` });
  const split = await chooseSplit(preprocessed, await listPreprocessedCases(dataFolder), fold, task.randomSplit);
  const modelName = (name: string) =>
    modelId({ trainer: recipe.folderName, plans: plans.plansName, configuration: name });
  const modelFolder = join(task.results, modelName(configuration.name));
  const { previousStage } = configuration;
  const previousFolder = previousStage === undefined
    ? undefined
    : join(task.results, modelName(previousStage), "predicted_next_stage", configuration.name);
  if (previousFolder !== undefined) await requirePreviousStage(task, previousFolder, previousStage ?? "", split);
  return {
    task,
    recipe,
    plans,
    dataset,
    ...network,
    texts: { plans: await Deno.readTextFile(plansFile), dataset: await Deno.readTextFile(datasetFile) },
    shapes: new Map(weightShapes(graph).map(({ name, shape }) => [name, torchShape(shape, configuration.dimensions)])),
    augmentation: deriveAugmentation(configuration, channelNames.length, labels, recipe.augmentation),
    split,
    dataFolder,
    ...(previousFolder !== undefined && { previousFolder }),
    modelFolder,
    foldFolder: join(modelFolder, `fold_${fold}`),
    classNames: labels.hasRegions
      ? labels.regions.map(({ name }) => name)
      : labels.foregroundLabels.map((label) => labels.names.get(label) ?? String(label)),
  };
}

/** The network of a configuration, as a trainer has it. */
export type TrainingNetwork = Pick<TrainingSetup, "configuration" | "batch" | "graph" | "inputChannels">;

/** @param planned As the plans have it. @throws UserError if it can't be built */
export function trainingNetwork(
  planned: Configuration,
  { labels, channelNames }: DatasetJson,
  recipe: TrainingRecipe,
): TrainingNetwork {
  const configuration = { ...planned, architecture: withTrainer(recipe, planned.architecture) };
  const cascaded = configuration.previousStage === undefined ? 0 : labels.foregroundLabels.length;
  const inputChannels = channelNames.length + cascaded;
  const graph = buildGraph(configuration.architecture, inputChannels, labels.headCount, { deepSupervision: true });
  return { configuration, batch: recipe.batchSize ?? configuration.batchSize, graph, inputChannels };
}

/** What an engine compiles. */
export function trainingOptions(
  setup: TrainingNetwork & Pick<TrainingSetup, "recipe" | "dataset">,
  precision: Precision,
): TrainingOptions {
  const { recipe, dataset: { labels }, configuration, graph, batch } = setup;
  const { ignoreLabel } = labels;
  const loss: LossOptions = {
    target: labels.hasRegions
      ? { kind: "regions", regions: labels.regions.map((region) => region.labels) }
      : { kind: "labels" },
    ...(ignoreLabel !== undefined && { ignoreLabel }),
    batchDice: configuration.batchDice,
    ...recipe.loss,
  };
  return {
    patch: configuration.patchSize,
    batch,
    precision,
    loss,
    outputWeights: outputWeights(graph.outputs.length, recipe.deepSupervision),
    ...(recipe.optimizer && { optimizer: recipe.optimizer }),
  };
}

/** (out, in, y, x) of (out, in, 1, y, x) in 2-D networks. */
function torchShape(shape: readonly number[], dimensions: 2 | 3): readonly number[] {
  return dimensions === 2 && shape.length === 5 ? [...shape.slice(0, 2), ...shape.slice(3)] : shape;
}

async function requireFiles(task: TrainingTask, plansFile: string, datasetFile: string): Promise<void> {
  const { preprocessed, plansName } = task;
  const entries = await readFolder(preprocessed, DOING);
  if (entries === null) throw notPreprocessed(task, preprocessed);
  const names = new Set(entries.map(({ name }) => name));
  if (!names.has("dataset.json")) throw notPreprocessed(task, datasetFile);
  if (names.has(`${plansName}.json`)) return;
  const others = [...names].filter((name) => name.endsWith(".json")).map((name) => name.slice(0, -".json".length))
    .filter(isPlansName).sort();
  throw new UserError({
    doing: DOING,
    file: plansFile,
    problem: "there are no plans of that name",
    remedy: others.length > 0
      ? `there: ${others.join(", ")}; choose one with -p`
      : `run nnunet plan_and_preprocess -d ${task.datasetName}`,
  });
}

function notPreprocessed(task: TrainingTask, file: string): UserError {
  const { datasetName } = task;
  return new UserError({
    doing: DOING,
    file,
    problem: "it is not there: the dataset is not preprocessed for this configuration",
    remedy: `run nnunet plan_and_preprocess -d ${datasetName}, or, where plans are there, ${preprocessAgain(task)}`,
  });
}

/** The command that preprocesses the configuration; it keeps what is as it should be. */
export function preprocessAgain({ datasetName, plansName, configurationName }: TrainingTask): string {
  return `nnunet preprocess -d ${datasetName} -plans_name ${plansName} -c ${configurationName}`;
}

async function requirePreviousStage(
  { configurationName, plansName, datasetName }: TrainingTask,
  folder: string,
  previousStage: string,
  { train, val }: ChosenSplit,
): Promise<void> {
  const entries = await readFolder(folder, DOING) ?? [];
  const there = new Set(entries.flatMap(({ name }) => previousStageCase(name) ?? []));
  const missing = [...new Set([...train, ...val])].filter((id) => !there.has(id));
  if (missing.length === 0) return;
  throw new UserError({
    doing: DOING,
    file: folder,
    problem:
      `${configurationName} takes the predictions of ${previousStage}; ${
        missing.length === 1 ? "that of 1 case is" : `those of ${missing.length} cases are`
      } ` +
      `missing: ${missing.slice(0, 5).join(", ")}${missing.length > 5 ? ", ..." : ""}`,
    remedy: `train and validate all folds of ${previousStage} with the same trainer and plans first: ` +
      `nnunet train ${datasetName} ${previousStage} FOLD -p ${plansName}`,
  });
}

function checkChannels(dataset: DatasetJson, configuration: Configuration, file: string): void {
  const inPlans = configuration.normalizationSchemes.length;
  const { channelNames } = dataset;
  if (inPlans === channelNames.length) return;
  throw new UserError({
    doing: DOING,
    file,
    problem:
      `it names ${plural(channelNames.length, "channel")} (${channelNames.join(", ")}), the plans' configuration ` +
      `${configuration.name} has ${inPlans}`,
    remedy: "use plans that were made of this dataset",
  });
}

/** What upstream's trainers of a single loss can't do. */
function checkLoss(recipe: TrainingRecipe, { labels }: DatasetJson, file: string): void {
  const problem = (recipe.loss.diceWeight === 0 || recipe.loss.topK) && labels.hasRegions
    ? "regions"
    : recipe.loss.crossEntropyWeight === 0 && labels.ignoreLabel !== undefined
    ? "an ignore label"
    : undefined;
  if (problem === undefined) return;
  throw new UserError({
    doing: DOING,
    file,
    problem: `the dataset has ${problem}, and the loss of ${recipe.trainerName} is not defined for that`,
    remedy: "train with nnUNetTrainer",
  });
}
