/**
 * The ensemble of predictions: folders of <case>.npz in, segmentations out. Source: ensemble_folders of
 * nnunetv2/ensembling/ensemble.py, with what 2.7 and 2.8 corrected in it.
 */
import { UserError } from "../base/errors.ts";
import { ensureFolder, writeAtomically } from "../base/files.ts";
import { readJsonFile, reformatJson } from "../base/json.ts";
import { removeLeftovers } from "../base/leftovers.ts";
import { refuseOverwriting } from "../base/overwriting.ts";
import { join } from "../base/path.ts";
import { plural } from "../base/plural.ts";
import { statOrNull } from "../base/stat_or_null.ts";
import type { DatasetJson } from "../dataset/dataset_json.ts";
import { isFolder } from "../dataset/dataset_names.ts";
import { filesEndingIn } from "../dataset/raw_dataset.ts";
import { readDatasetJson } from "../dataset/read_dataset_json.ts";
import { readPlans } from "../plan/read_plans.ts";
import { ensembleCases, type EnsembleOptions, type FailedEnsembleCase } from "./ensemble_cases.ts";
import { REMEDY } from "./mean_probabilities.ts";
import { labelRule } from "./labeller.ts";

export interface EnsembleRequest extends EnsembleOptions {
  /** Each holds <case>.npz and <case>.pkl of every case; dataset.json and plans.json are the first one's. */
  readonly folders: readonly string[];
  readonly output: string;
  /** Also write the means, <case>.npz and <case>.pkl. Default false. */
  readonly saveProbabilities?: boolean;
  /** Only these cases. Default: all, which every folder then has to have. */
  readonly cases?: readonly string[];
  readonly onWarning?: (message: string) => void;
}

export interface Ensemble {
  /** Ids of all cases, in order. */
  readonly cases: readonly string[];
  readonly failed: readonly FailedEnsembleCase[];
}

const DOING = "averaging the models' probabilities";

/**
 * Writes <case>.ENDING of every case, dataset.json and plans.json into `output`.
 * @throws UserError if a folder is not there, or has other cases than the others; if the output is one of them; Interrupted
 */
export async function ensembleFolders(request: EnsembleRequest): Promise<Ensemble> {
  const { folders, output } = request;
  const [first] = folders;
  const inputs = folders.map((path) => ({ path, what: "a folder of probabilities" }));
  const remedy = "name another folder with -o";
  refuseOverwriting(inputs, [{ path: output, what: "the output folder" }], { doing: DOING, remedy });
  for (const folder of folders) await requireFolder(folder);
  for (const name of MODEL_FILES) await requireModelFile(first, name);
  const dataset = await readDatasetJson(join(first, "dataset.json"));
  const { reader } = await readPlans(join(first, "plans.json"));
  const cases = request.cases ?? await commonCases(folders);
  for (const folder of folders.slice(1)) await compareLabels(folder, first, dataset, request.onWarning);

  await ensureFolder(output, "making the output folder");
  removeLeftovers(output);
  for (const name of MODEL_FILES) await copyModelFile(first, output, name);
  const rule = labelRule(dataset.labels);
  const failed = await ensembleCases(
    cases.map((id) => ({
      caseId: id,
      files: folders.map((folder) => join(folder, `${id}.npz`)),
      reader,
      rule,
      output: join(output, `${id}${dataset.fileEnding}`),
      ...(request.saveProbabilities && { probabilities: join(output, `${id}.npz`) }),
    })),
    request,
  );
  return { cases, failed };
}

/**
 * Upstream leaves plans.json out, and then does not find it where it applies a postprocessing to the ensemble, or makes an ensemble of
 * ensembles.
 */
const MODEL_FILES = ["dataset.json", "plans.json"] as const;

async function requireFolder(folder: string): Promise<void> {
  if (await isFolder(folder)) return;
  throw new UserError({ doing: DOING, file: folder, problem: "there is no such folder", remedy: "check the path" });
}

async function requireModelFile(folder: string, name: string): Promise<void> {
  if (await statOrNull(join(folder, name), DOING)) return;
  throw new UserError({
    doing: DOING,
    file: folder,
    problem: `there is no ${name} in it, which a prediction leaves in its folder; the first folder's is needed`,
    remedy: `copy the model's ${name} there`,
  });
}

/** As Python loads and saves it. */
async function copyModelFile(from: string, to: string, name: string): Promise<void> {
  const source = join(from, name);
  const { text } = await readJsonFile(source, `copying ${name}`);
  await writeAtomically(join(to, name), reformatJson(text, source), { doing: `copying ${name}` });
}

/** The ids that all folders have. @throws UserError listing what is missing where */
async function commonCases(folders: readonly string[]): Promise<string[]> {
  const found: Set<string>[] = [];
  for (const folder of folders) {
    const names = await filesEndingIn(folder, ".npz");
    found.push(new Set(names.map((name) => name.slice(0, -".npz".length))));
  }
  const all = [...new Set(found.flatMap((ids) => [...ids]))].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  if (all.length === 0) {
    throw new UserError({
      doing: DOING,
      file: folders[0],
      problem: "no file in it ends in .npz",
      remedy: "predict with --save_probabilities",
    });
  }
  const missing = folders.map((folder, i) => ({ folder, ids: all.filter((id) => !found[i].has(id)) }))
    .filter(({ ids }) => ids.length > 0);
  if (missing.length === 0) return all;
  const listed = missing.map(({ folder, ids }) =>
    `${folder} lacks ${plural(ids.length, "case")}: ${ids.map((id) => `${id}.npz`).join(", ")}`
  );
  throw new UserError({
    doing: DOING,
    problem: `the folders do not hold the same cases; ${listed.join("; ")}`,
    remedy: `${REMEDY}, or take away what is not to be averaged`,
  });
}

/** Upstream takes the first folder's labels for all; where another folder says that its own are different, that is told. */
async function compareLabels(
  folder: string,
  first: string,
  dataset: DatasetJson,
  onWarning: ((message: string) => void) | undefined,
): Promise<void> {
  const file = join(folder, "dataset.json");
  if (await statOrNull(file, DOING) === null) return;
  const other = await readDatasetJson(file);
  const text = ({ labels }: DatasetJson) =>
    JSON.stringify([labels.allLabels, labels.ignoreLabel, labels.regions, labels.regionsClassOrder, [...labels.names]]);
  if (text(other) === text(dataset)) return;
  onWarning?.(`${file} has other labels than ${join(first, "dataset.json")}, which are taken for all folders`);
}
