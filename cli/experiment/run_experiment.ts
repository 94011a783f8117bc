/** `run` from checked flags to the exit code: what is there, what is left, and stage after stage until all is done. */
import { UserError } from "../../core/base/errors.ts";
import { join } from "../../core/base/path.ts";
import { resolveDatasetName } from "../../core/dataset/dataset_names.ts";
import type { Environment } from "../../core/dataset/environment.ts";
import { taskName } from "../../core/experiment/experiment.ts";
import { forecastEpochs } from "../../core/experiment/forecast.ts";
import { type ExperimentRequest, lookAtExperiment, type Overview } from "../../core/experiment/overview.ts";
import { type EpochForecast, estimateTime } from "../../core/experiment/time_left.ts";
import { type Planner, PLANNERS } from "../../core/plan/planners.ts";
import { readRecipe } from "../../core/train/recipe.ts";
import type { CommandContext } from "../commands/command.ts";
import { openCheckpoint } from "../../core/formats/torch/torch_checkpoint.ts";
import { findPlanner } from "../commands/plan_experiment_command.ts";
import { requireFolders } from "../dataset_folders.ts";
import type { EngineOpener } from "../engines/training_engines.ts";
import { wantedGpus } from "../engines/wanted_gpus.ts";
import type { RunValues } from "../flags/run_flags.ts";
import { list } from "../terminal.ts";
import { changesOf, engineOpener } from "../training_request.ts";
import { chooseBest } from "./choose_best.ts";
import { endLine, shownStages, stageLines, staleStages } from "./overview_lines.ts";
import { prepareData } from "./prepare_data.ts";
import { trainFolds } from "./train_folds.ts";

/** True if all that was asked for is done, or being done by other runs. @throws UserError, Interrupted */
export async function runExperiment(values: RunValues, context: CommandContext): Promise<boolean> {
  const { print, printError } = context;
  const request = await readRequest(values, context.environment);
  if (values.pretrainedWeights !== undefined) {
    // What is wrong with it is not to be found out after hours of preprocessing.
    using _checkpoint = await openCheckpoint(values.pretrainedWeights, { weightsAlone: true });
  }
  const gpus = await wantedGpus(values, context);
  const opener = engineOpener({ ...values, ...(gpus && { gpu: gpus[0] }) }, print);
  const before = await lookAtExperiment(request);
  let forecasts = await forecastsFor(before, values, opener, context);
  show(request, before, forecasts, values, context);
  if (values.dryRun) return true;

  const overview = await prepareData(request, values, context);
  if (!overview?.experiment) return false;
  const { experiment } = overview;
  if (!before.experiment) {
    forecasts = await forecastsFor(overview, values, opener, context);
    show(request, overview, forecasts, values, context);
  }
  const { states, failed } = await trainFolds({
    experiment,
    values,
    context,
    opener,
    forecasts,
    ...(gpus && { gpus }),
  });
  const left = states.filter(({ progress }) => progress.kind !== "done").map(({ task }) => taskName(task));
  if (failed.size > 0) {
    printError(list("These trainings failed, as said above; the same command tries them again:", [...failed]));
    const others = left.filter((name) => !failed.has(name));
    if (others.length > 0) printError(list("These need what failed, or are trained by other runs:", others));
    return false;
  }
  if (left.length > 0) {
    print(list("Left to other runs, or in need of what they train; the same command goes on with them:", left));
    return true;
  }
  print(`all ${states.length} trainings are done: ${experiment.results}`);
  await chooseBest(experiment, values, context);
  return true;
}

async function readRequest(values: RunValues, environment: Environment): Promise<ExperimentRequest> {
  const folders = requireFolders(environment, ["raw", "preprocessed", "results"], {
    doing: "looking for the dataset",
    remedy:
      "set nnUNet_raw to the folder of the raw datasets, nnUNet_preprocessed and nnUNet_results to folders for what " +
      "is made of them (export nnUNet_raw=/path/to/raw)",
  });
  const name = await resolveDatasetName(values.dataset, environment.folders);
  const { planner, plansName } = plansOf(values);
  const {
    trainer,
    randomSplit,
    seed,
    noVerify,
    allowGeometryMismatch,
    nan,
    configurations,
    memoryTarget,
    targetSpacing,
  } = values;
  readRecipe(trainer, changesOf(values));
  return {
    name,
    rawFolder: join(folders.raw, name),
    preprocessed: join(folders.preprocessed, name),
    results: join(folders.results, name),
    plansName,
    ...(planner && { planner }),
    planning: {
      ...(memoryTarget !== undefined && { gpuMemoryTargetGB: memoryTarget }),
      ...(targetSpacing && { targetSpacing }),
    },
    ...(configurations && { configurations }),
    ...(values.folds && { folds: [...new Set(values.folds.map((text) => text === "all" ? text : Number(text)))] }),
    trainerName: trainer,
    changes: changesOf(values),
    ...(seed !== undefined && { seed }),
    randomSplit,
    saveProbabilities: !values.disableEnsembling,
    verify: !noVerify,
    allowGeometryMismatch,
    nan,
  };
}

/** Plans of a planner's own name are that planner's; those of another name are taken as they are, unless -pl says whose they are. */
function plansOf({ planner, plans }: RunValues): { readonly planner?: Planner; readonly plansName: string } {
  if (planner !== undefined) {
    const found = findPlanner(planner);
    return { planner: found, plansName: plans ?? found.plansName };
  }
  const plansName = plans ?? "nnUNetPlans";
  return { planner: PLANNERS.find((one) => one.plansName === plansName), plansName };
}

function show(
  request: ExperimentRequest,
  overview: Overview,
  forecasts: ReadonlyMap<string, EpochForecast>,
  { dryRun, stale: policy }: RunValues,
  { print, warn, event }: CommandContext,
): void {
  const { folds } = overview;
  const { epochs, folderName } = readRecipe(request.trainerName, request.changes);
  const time = estimateTime(folds, epochs, forecasts);
  const stages = shownStages(request, overview, time);
  if (event) event("stages", { dataset: request.name, stages, secondsLeft: time.total ?? null });
  else print([`${request.name}, ${folderName}`, ...stageLines(stages)].join("\n"));
  // Otherwise the run ends with them.
  if (dryRun || policy !== "refuse") {
    for (const { what, stale } of staleStages(overview)) for (const text of stale) warn(`${what}: ${text}`);
  }
  if (!overview.experiment) return print("  the trainings follow from the plans");
  const end = endLine(folds, time, Date.now());
  if (end !== "") print(end);
}

/** Of the configurations without a measured epoch that have something left. */
async function forecastsFor(
  { experiment, folds }: Overview,
  { precision }: RunValues,
  { openEngine }: EngineOpener,
  { warn }: CommandContext,
): Promise<Map<string, EpochForecast>> {
  const measured = new Set(folds.flatMap((fold) => fold.epochSeconds === undefined ? [] : fold.task.configuration));
  const left = folds.filter(({ progress }) => progress.kind !== "done").map(({ task }) => task.configuration);
  const names = new Set(left.filter((name) => !measured.has(name)));
  if (!experiment || names.size === 0) return new Map();
  try {
    await using engine = await openEngine();
    return forecastEpochs(experiment, names, engine, precision);
  } catch (error) {
    // What is wrong with it, the first training says as well; a look needs no engine.
    if (!(error instanceof UserError)) throw error;
    warn(`the time that is left can't be forecast: ${error.message}`);
    return new Map();
  }
}
