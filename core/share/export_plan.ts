/** Which files are packed of trained models, in which order, and what is missing. Source: nnunetv2/model_sharing/model_export.py. */
import { UserError } from "../base/errors.ts";
import { basename, join } from "../base/path.ts";
import { requirePathName } from "../base/path_name.ts";
import { readFolder } from "../base/read_folder.ts";
import { statOrNull } from "../base/stat_or_null.ts";
import { foldersIn } from "../dataset/dataset_names.ts";
import { crossvalFolder, ENSEMBLES, modelId, parseModelId } from "../dataset/model_id.ts";
import { readPlans, resolveConfiguration } from "../plan/read_plans.ts";

/** What is to be exported. */
export interface ExportSelection {
  /** nnUNet_results. */
  readonly results: string;
  /** DatasetXXX_Name */
  readonly dataset: string;
  /** As the user named it, for what upstream prints. */
  readonly datasetAsGiven: string;
  readonly trainer: string;
  readonly plans: string;
  readonly configurations: readonly string[];
  /** "0", "all". */
  readonly folds: readonly string[];
  /** Names of files in a fold's folder. */
  readonly checkpoints: readonly string[];
  /** False: configurations, folds and files that are not there are left out. */
  readonly strict: boolean;
  /** True: the validation's segmentations too. */
  readonly crossValidation: boolean;
}

/** A file below the results folder, with slashes; or a line to be printed before the files that follow. */
export type ExportStep = { readonly line: string } | { readonly file: string };

export interface ExportPlan {
  readonly steps: readonly ExportStep[];
  /** "DatasetXXX_Name/TRAINER__PLANS__CONFIGURATION" */
  readonly models: readonly string[];
  readonly warnings: readonly string[];
}

export const DOING = "exporting the model";
const CHOICE = ["inference_information.json", "inference_instructions.txt", "inference_information.txt"];
/** Of a folder of merged predictions: results, and all that their postprocessing is applied with. */
const RESULTS = ["summary.json", "postprocessing.pkl", "postprocessing.json", "plans.json", "dataset.json"];
const SHOWN = 10;

/** @throws UserError if something is missing (strict), or nothing is there */
export async function planExport(selection: ExportSelection): Promise<ExportPlan> {
  const { results, dataset, trainer, plans, strict } = selection;
  const configurations = [...new Set(selection.configurations)];
  for (const [what, names] of Object.entries({ trainer: [trainer], plans: [plans], configuration: configurations })) {
    for (const name of names) requirePathName(name, `the name of the ${what}`, { doing: DOING });
  }
  for (const name of selection.checkpoints) requirePathName(name, "the checkpoint's name", { doing: DOING });
  const datasetFolder = join(results, dataset);
  const lister = createLister(results);
  const models: string[] = [];
  for (const configuration of configurations) {
    const model = `${dataset}/${modelId({ trainer, plans, configuration })}`;
    lister.say(`Configuration ${configuration}`);
    if (!(await lister.isFolder(model))) {
      lister.miss(model);
      continue;
    }
    if (await addModel(lister, model, selection)) models.push(model);
  }
  const warnings: string[] = [];
  const missing = lister.missing();
  if (missing.length > 0 && (strict || models.length === 0)) {
    throw new UserError({
      doing: DOING,
      file: datasetFolder,
      problem: `of what is to be in the zip, this is not there: ${listed(missing)}`,
      remedy: `${await whatIsThere(datasetFolder, trainer, plans)}; -c and -f choose what is exported` +
        (models.length === 0 ? "" : ", and --not_strict leaves out what is missing"),
    });
  }
  if (missing.length > 0) warnings.push(`not there, so not in the zip: ${listed(missing)}`);
  await addEnsembles(lister, selection, models);
  for (const name of CHOICE) await lister.addIfThere(`${dataset}/${name}`);
  warnings.push(...await lackingStages(results, models));
  return { steps: lister.steps, models, warnings };
}

type Lister = ReturnType<typeof createLister>;

function createLister(results: string) {
  const steps: ExportStep[] = [];
  const missing: string[] = [];
  const at = (path: string) => join(results, ...path.split("/"));
  const there = async (path: string) => await statOrNull(at(path), DOING);
  const addIfThere = async (file: string): Promise<boolean> => {
    const isThere = (await there(file))?.isFile === true;
    if (isThere) steps.push({ file });
    return isThere;
  };
  return {
    steps,
    missing: (): readonly string[] => missing,
    miss: (path: string) => void missing.push(path),
    say: (line: string) => void steps.push({ line }),
    isFolder: async (path: string) => (await there(path))?.isDirectory === true,
    isFile: async (path: string) => (await there(path))?.isFile === true,
    addIfThere,
    async add(file: string): Promise<void> {
      if (!(await addIfThere(file))) missing.push(file);
    },
    /** All files of a folder, sorted, but those of an ending. */
    async addAll(folder: string, but: readonly string[] = []): Promise<void> {
      const entries = await readFolder(at(folder), DOING);
      if (!entries) return void missing.push(folder);
      for (const name of entries.map(({ name }) => name).sort()) {
        if (!but.some((ending) => name.endsWith(ending))) await addIfThere(`${folder}/${name}`);
      }
    },
  };
}

/** @returns false if it has none of the folds */
async function addModel(lister: Lister, model: string, selection: ExportSelection): Promise<boolean> {
  const { folds, checkpoints, crossValidation } = selection;
  const found: string[] = [];
  for (const fold of folds) {
    const folder = `${model}/fold_${fold}`;
    const has = await Promise.all(checkpoints.map((name) => lister.isFile(`${folder}/${name}`)));
    if (!has.includes(true)) {
      if (await lister.isFolder(folder)) checkpoints.forEach((name) => lister.miss(`${folder}/${name}`));
      else lister.miss(folder);
      continue;
    }
    found.push(fold);
    lister.say(`Exporting fold_${fold}`);
    await lister.addIfThere(`${folder}/debug.json`);
    for (const name of checkpoints) await lister.add(`${folder}/${name}`);
    await lister.add(`${folder}/progress.png`);
    await lister.addIfThere(`${folder}/network_architecture.pdf`);
    if (crossValidation) await lister.addAll(`${folder}/validation`, [".npz", ".pkl"]);
    else await lister.add(`${folder}/validation/summary.json`);
  }
  if (found.length === 0) return false;
  // Of the folds that are exported, and of those that were asked for, as upstream has it.
  for (const name of new Set([folds, found].map(crossvalFolder))) {
    const merged = `${model}/${name}`;
    if (await lister.isFolder(merged)) await addResults(lister, merged, crossValidation);
  }
  for (const name of ["plans.json", "dataset_fingerprint.json", "dataset.json"]) await lister.add(`${model}/${name}`);
  return true;
}

async function addResults(lister: Lister, folder: string, all: boolean): Promise<void> {
  if (all) return await lister.addAll(folder);
  for (const name of RESULTS) await lister.addIfThere(`${folder}/${name}`);
}

/** Ensembles all of whose models are exported. */
async function addEnsembles(lister: Lister, selection: ExportSelection, models: readonly string[]): Promise<void> {
  const { results, dataset, crossValidation } = selection;
  const folder = `${dataset}/ensembles`;
  if (!(await lister.isFolder(folder))) {
    return lister.say(`No ensemble directory found for task ${selection.datasetAsGiven}`);
  }
  const ours = new Set(models.map((model) => basename(model)));
  for (const ensemble of await foldersIn(join(results, dataset, ENSEMBLES))) {
    const members = ensemble.split("___").slice(1, -1);
    if (members.length === 0 || !members.every((member) => ours.has(member))) continue;
    lister.say(`found matching ensemble: ${ensemble}`);
    await addResults(lister, `${folder}/${ensemble}`, crossValidation);
  }
}

/** Cascades whose first stage is not in the zip: they predict from its predictions. */
async function lackingStages(results: string, models: readonly string[]): Promise<string[]> {
  const warnings: string[] = [];
  for (const model of models) {
    const start = model.slice(0, model.lastIndexOf("__") + 2);
    const configuration = model.slice(start.length);
    const previous = await previousStage(join(results, ...model.split("/"), "plans.json"), configuration);
    if (previous === undefined || models.includes(`${start}${previous}`)) continue;
    warnings.push(
      `${configuration} predicts from the predictions of ${previous}, which is not in the zip; -c ${previous} ` +
        `${configuration} exports both`,
    );
  }
  return warnings;
}

async function previousStage(plans: string, configuration: string): Promise<string | undefined> {
  try {
    return resolveConfiguration(await readPlans(plans), configuration).previousStage;
  } catch (error) {
    // Plans that only another version can use are exported all the same.
    if (error instanceof UserError) return undefined;
    throw error;
  }
}

async function whatIsThere(dataset: string, trainer: string, plans: string): Promise<string> {
  const start = `${trainer}__${plans}__`;
  const there: string[] = [];
  for (const name of await foldersIn(dataset)) {
    if (!parseModelId(name)) continue;
    const folds = (await foldersIn(join(dataset, name))).filter((fold) => fold.startsWith("fold_"));
    const shown = name.startsWith(start) ? name.slice(start.length) : name;
    there.push(`${shown} (${folds.map((fold) => fold.slice("fold_".length)).join(", ") || "no folds"})`);
  }
  return there.length > 0 ? `there are, with their folds: ${there.join("; ")}` : "there is no trained model";
}

function listed(paths: readonly string[]): string {
  const more = paths.length > SHOWN ? ` and ${paths.length - SHOWN} more` : "";
  return `${paths.slice(0, SHOWN).join(", ")}${more}`;
}
