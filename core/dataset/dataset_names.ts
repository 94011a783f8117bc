/**
 * Datasets by name or id, and trained models by dataset, trainer, plans and configuration.
 * Source: nnunetv2/utilities/dataset_name_id_conversion.py, file_path_utilities.py.
 */
import { readFolder } from "../base/read_folder.ts";
import { UserError } from "../base/errors.ts";
import { join } from "../base/path.ts";
import { requirePathName } from "../base/path_name.ts";
import type { RootFolders } from "./environment.ts";
import { modelFlags, modelId, type ModelName, parseModelId } from "./model_id.ts";

/**
 * The folder name of a dataset: `Dataset...` is taken as it is; anything else must be an integer and is looked up as the
 * prefix `Dataset%03d` among the folders of all three roots, as upstream does (so 1 also finds Dataset0012_x).
 * @throws UserError if it is a path, or no integer, or no dataset or more than one of different names is found.
 */
export async function resolveDatasetName(nameOrId: string, folders: RootFolders): Promise<string> {
  const doing = `looking up the dataset "${nameOrId}"`;
  if (nameOrId.startsWith("Dataset")) {
    return requirePathName(nameOrId, "the dataset's name", {
      doing,
      remedy: "give the folder's name alone, or its number",
    });
  }
  if (!/^\s*[+-]?\d+(_\d+)*\s*$/.test(nameOrId)) {
    throw new UserError({
      doing,
      problem: `it is neither a name that starts with "Dataset" nor an integer id`,
      remedy: /^\d+(,\d+)+$/.test(nameOrId)
        ? `give several ids with spaces between them: ${nameOrId.replaceAll(",", " ")}`
        : await whatIsThere(folders),
    });
  }
  const id = Number(nameOrId.replaceAll("_", ""));
  const prefix = `Dataset${id < 0 ? `-${String(-id).padStart(2, "0")}` : String(id).padStart(3, "0")}`;
  const found = new Set<string>();
  for (const root of roots(folders)) {
    for (const name of await foldersIn(root.path)) if (name.startsWith(prefix)) found.add(name);
  }
  if (found.size === 1) return [...found][0];
  if (found.size > 1) {
    throw new UserError({
      doing,
      problem: `several datasets have this id: ${[...found].sort().join(", ")}`,
      remedy: "give the full name with -d, or rename all but one of them",
    });
  }
  throw new UserError({
    doing,
    problem: `no folder whose name starts with ${prefix} is in the nnU-Net folders`,
    remedy: await whatIsThere(folders),
  });
}

/**
 * nnUNet_results/DATASET/TRAINER__PLANS__CONFIGURATION.
 * @throws UserError if nnUNet_results is not set, or the folder is not there (the message lists those that are).
 */
export async function resolveModelFolder(model: ModelName, folders: RootFolders): Promise<string> {
  const doing = "looking for the trained model";
  if (!folders.results) {
    throw new UserError({
      doing,
      problem: "the environment variable nnUNet_results is not set, so there is no place to look in",
      remedy: "set it to the folder that holds the trained models, or name the model's folder itself with " +
        "`predict_from_modelfolder -m FOLDER`",
    });
  }
  for (const what of ["dataset", "trainer", "plans", "configuration"] as const) {
    requirePathName(model[what], `the name of the ${what}`, { doing });
  }
  const dataset = join(folders.results, model.dataset);
  const folder = join(dataset, modelId(model));
  if (await isFolder(folder)) return folder;
  if (!(await isFolder(dataset))) {
    const there: string[] = [];
    for (const entry of (await foldersIn(folders.results)).filter((name) => name.startsWith("Dataset"))) {
      if ((await foldersIn(join(folders.results, entry))).some(parseModelId)) there.push(entry);
    }
    throw new UserError({
      doing,
      file: dataset,
      problem: "there is no such folder",
      remedy: there.length
        ? `datasets with results in ${folders.results}: ${there.join(", ")}`
        : `${folders.results} (nnUNet_results) holds no trained model at all; point nnUNet_results at the trained models`,
    });
  }
  const there = (await foldersIn(dataset)).flatMap((name) => parseModelId(name) ?? []);
  throw new UserError({
    doing,
    file: folder,
    problem: "there is no such folder",
    remedy: there.length
      ? `${model.dataset} has ${there.map(asFlags).join("; ")}`
      : `${dataset} holds no trained model (a folder named TRAINER__PLANS__CONFIGURATION)`,
  });
}

/** The flags that choose a model: "-c 3d_fullres" (with -tr and -p where they are not the defaults). */
function asFlags(model: Omit<ModelName, "dataset">): string {
  return [`-c ${model.configuration}`, ...modelFlags(model)].join(" ");
}

/** The root folders that are set, with the variables' names. */
export function roots(folders: RootFolders): { readonly variable: string; readonly path: string }[] {
  const all: [string, string | undefined][] = [
    ["nnUNet_preprocessed", folders.preprocessed],
    ["nnUNet_raw", folders.raw],
    ["nnUNet_results", folders.results],
  ];
  return all.flatMap(([variable, path]) => (path === undefined ? [] : [{ variable, path }]));
}

/** Names of the folders in `path`, sorted; none if it is not there (upstream skips such roots too). */
export async function foldersIn(path: string): Promise<string[]> {
  const names: string[] = [];
  for (const entry of await readFolder(path, "listing the folder") ?? []) {
    if (entry.isDirectory || (entry.isSymlink && await isFolder(join(path, entry.name)))) names.push(entry.name);
  }
  return names.sort();
}

export async function isFolder(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isDirectory;
  } catch {
    return false;
  }
}

async function whatIsThere(folders: RootFolders): Promise<string> {
  const set = roots(folders);
  if (set.length === 0) {
    return "none of nnUNet_raw, nnUNet_preprocessed, nnUNet_results is set; set the one that holds the dataset";
  }
  const lines: string[] = [];
  for (const { variable, path } of set) {
    const names = (await foldersIn(path)).filter((name) => name.startsWith("Dataset"));
    const there = (await isFolder(path)) ? names.join(", ") || "no datasets" : "no such folder";
    lines.push(`${variable}=${path} (${there})`);
  }
  const old = folders.raw === undefined ? [] : (await foldersIn(folders.raw)).filter((name) => /^Task\d+_/.test(name));
  const convert = old.length === 0
    ? ""
    : `. ${
      old.join(", ")
    }: of nnU-Net v1 or the Decathlon; convert_old_nnUNet_dataset or convert_MSD_dataset makes a dataset of it`;
  return `looked in ${lines.join("; ")}${convert}`;
}
