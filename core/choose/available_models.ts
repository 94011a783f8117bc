/** Which of the models that are asked for there are. Source: filter_available_models of find_best_configuration.py. */
import { UserError } from "../base/errors.ts";
import { readJsonFile } from "../base/json.ts";
import { dirname, join } from "../base/path.ts";
import { statOrNull } from "../base/stat_or_null.ts";
import { foldersIn, isFolder } from "../dataset/dataset_names.ts";
import type { RootFolders } from "../dataset/environment.ts";
import { modelId, type ModelName, parseModelId, requireSeparableId, trainCommand } from "../dataset/model_id.ts";
import type { TrainedModel } from "../ensemble/fold_files.ts";
import { pythonJoin } from "../evaluate/evaluate_folder.ts";

const DOING = "looking for the models to compare";

export interface WantedModels {
  /** The dataset's folder name. */
  readonly dataset: string;
  readonly trainers: readonly string[];
  readonly configurations: readonly string[];
  readonly plans: readonly string[];
}

/**
 * The models of all combinations, by trainer, configuration and plans, whose configuration the plans have.
 * @param say Is told of configurations that are left out
 * @throws UserError if a model is not trained (all that are not are listed), or there is none; if plans are not there
 */
export async function availableModels(
  { dataset, trainers, configurations, plans }: WantedModels,
  folders: RootFolders & { readonly results: string },
  say: (text: string) => void,
): Promise<TrainedModel[]> {
  const names = trainers.flatMap((trainer) =>
    configurations.flatMap((configuration) => plans.map((name) => ({ dataset, trainer, plans: name, configuration })))
  );
  const models: TrainedModel[] = [];
  const untrained: TrainedModel[] = [];
  for (const name of names) {
    requireSeparableId(name);
    const folder = pythonJoin(pythonJoin(folders.results, dataset), modelId(name));
    const file = await plansFile(name, folder, folders);
    if (!(await configurationNames(file)).includes(name.configuration)) {
      say(`Configuration ${name.configuration} not found in plans ${name.plans}.\nInferred plans file: ${file}.`);
      continue;
    }
    (await isFolder(folder) ? models : untrained).push({ ...name, folder });
  }
  if (untrained.length > 0) {
    const listed = untrained.map(({ folder }) => folder).join(", ");
    throw new UserError({
      doing: DOING,
      problem: `there is no trained model ${listed}`,
      remedy: `train it (${
        untrained.map((model) => trainCommand(model, 0, "--npz")).join("; ")
      }; and the other folds), ` +
        "or name the configurations that are trained with -c",
    });
  }
  if (models.length > 0) return models;
  throw new UserError({
    doing: DOING,
    problem: `the plans ${plans.join(", ")} have none of the configurations ${configurations.join(", ")}`,
    remedy: "name some that they have with -c",
  });
}

/** That of the preprocessed dataset, else of a model that was trained with those plans: the model itself, or another one. */
async function plansFile(name: ModelName, model: string, { preprocessed }: RootFolders): Promise<string> {
  const places = [
    ...(preprocessed === undefined ? [] : [pythonJoin(pythonJoin(preprocessed, name.dataset), `${name.plans}.json`)]),
    join(model, "plans.json"),
    ...await siblings(name, model),
  ];
  for (const place of places) if (await statOrNull(place, DOING)) return place;
  throw new UserError({
    doing: DOING,
    file: places[0],
    problem: "there are no such plans",
    remedy: "check the name given with -p, and nnUNet_preprocessed; plan_experiment writes plans",
  });
}

async function siblings({ plans }: ModelName, model: string): Promise<string[]> {
  const folder = dirname(model);
  const named = (await foldersIn(folder)).filter((other) => parseModelId(other)?.plans === plans);
  return named.map((other) => join(folder, other, "plans.json"));
}

async function configurationNames(file: string): Promise<string[]> {
  const { configurations } = await readConfigurations(file);
  return Object.keys(configurations);
}

async function readConfigurations(file: string) {
  const { value } = await readJsonFile(file, "reading the plans");
  const configurations = (value as { readonly configurations?: unknown } | null)?.configurations;
  if (typeof configurations === "object" && configurations !== null) {
    return { configurations: configurations as Readonly<Record<string, unknown>> };
  }
  const remedy = "copy them again from where they came from";
  throw new UserError({ doing: "reading the plans", file, problem: "they have no configurations", remedy });
}

/**
 * The configuration whose segmentations a cascade's second stage needs, as the model's plans say; undefined for other configurations.
 * Nothing else is read of the configuration: it may be one that cannot be predicted here.
 */
export async function previousStageOf({ folder, configuration }: TrainedModel): Promise<string | undefined> {
  const { configurations } = await readConfigurations(join(folder, "plans.json"));
  const seen = new Set<string>();
  for (let name: unknown = configuration; typeof name === "string" && !seen.has(name);) {
    seen.add(name);
    const fields = configurations[name] as
      | { readonly previous_stage?: unknown; readonly inherits_from?: unknown }
      | null;
    if (typeof fields?.previous_stage === "string") return fields.previous_stage;
    name = fields?.inherits_from;
  }
  return undefined;
}
