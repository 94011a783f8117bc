/**
 * A trained model's folder: <trainer>__<plans>__<configuration> with plans.json, dataset.json and fold_*\/checkpoint_*.pth.
 * Source: nnunetv2/inference/predict_from_raw_data.py (initialize_from_trained_model_folder).
 */
import { readError } from "../../base/read_error.ts";
import { plural } from "../../base/plural.ts";
import { UserError } from "../../base/errors.ts";
import { join } from "../../base/path.ts";
import { requirePathName } from "../../base/path_name.ts";
import { nearestName } from "../../base/nearest.ts";
import type { DatasetJson } from "../../dataset/dataset_json.ts";
import { readDatasetJson } from "../../dataset/read_dataset_json.ts";
import { type Checkpoint, openCheckpoint } from "../../formats/torch/torch_checkpoint.ts";
import type { Graph } from "../../graph/graph.ts";
import { buildGraph } from "../../network/build_graph.ts";
import { checkpointWeights } from "../../network/weights.ts";
import { checkPatch } from "../../plan/check_patch.ts";
import type { Configuration, Plans } from "../../plan/plans.ts";
import { readPlans, resolveConfiguration } from "../../plan/read_plans.ts";
import { trainerArchitecture } from "../../trainers/trainer_network.ts";

export interface ModelFold {
  /** "0", "all". */
  readonly name: string;
  /** Of the checkpoint. */
  readonly file: string;
  readonly checkpoint: Checkpoint;
}

/** A trained model: its folder, read and checked. Disposing it closes the checkpoints. */
export interface Model extends Disposable {
  readonly folder: string;
  readonly plans: Plans;
  readonly dataset: DatasetJson;
  readonly configuration: Configuration;
  readonly trainerName: string;
  readonly mirrorAxes: readonly number[] | null;
  readonly folds: readonly ModelFold[];
  /** Image channels, and for a cascade's later stage one for each foreground label. */
  readonly inputChannels: number;
  /** Segmentation heads. */
  readonly outputChannels: number;
  readonly graph: Graph;
}

export interface OpenModelOptions {
  /** Names as after fold_; undefined: all but fold_all that hold the checkpoint. */
  readonly folds: readonly string[] | undefined;
  /** "checkpoint_final.pth". */
  readonly checkpointName: string;
  /** True: a trainer that is not known is taken to use the plans' network. */
  readonly assumePlansNetwork: boolean;
  /** Instead of the configuration that the first fold's checkpoint names. */
  readonly overrideConfiguration?: string;
}

const DOING = "opening the model";

/**
 * Opens a model folder and checks that plans, dataset.json, checkpoints and network fit each other. As upstream, configuration,
 * trainer and mirroring are those of the first fold's checkpoint.
 * @throws UserError naming the file and what to do.
 * @example
 * ```ts
 * import { deepStrictEqual } from "node:assert";
 *
 * using model = await openModel("cli/demo/model", {
 *   folds: ["all"],
 *   checkpointName: "checkpoint_final.pth",
 *   assumePlansNetwork: false,
 * });
 * deepStrictEqual(model.configuration.patchSize, [24, 64, 80]);
 * ```
 */
export async function openModel(folder: string, options: OpenModelOptions): Promise<Model> {
  requirePathName(options.checkpointName, "the checkpoint's name", {
    doing: DOING,
    remedy: "name a file of the fold's folder, like checkpoint_best.pth",
  });
  const entries = await listModelFolder(folder);
  const plans = await readPlans(join(folder, "plans.json"));
  const dataset = await readDatasetJson(join(folder, "dataset.json"));
  const names = await chooseFolds(folder, entries, options);
  for (const name of names) await requireFold(folder, name, entries, options.checkpointName);

  const folds: ModelFold[] = [];
  const dispose = () => folds.forEach(({ checkpoint }) => checkpoint[Symbol.dispose]());
  try {
    for (const name of names) {
      const file = await checkpointFile(folder, name, options.checkpointName);
      folds.push({ name, file, checkpoint: await openCheckpoint(file) });
    }
    const { trainerName, mirrorAxes, configurationName } = folds[0].checkpoint;
    const configuration = resolveConfiguration(plans, options.overrideConfiguration ?? configurationName);
    checkChannels(folder, dataset, configuration);
    const { assumePlansNetwork } = options;
    const architecture = trainerArchitecture(
      trainerName,
      configuration.architecture,
      assumePlansNetwork,
      folds[0].file,
    );
    const { channelNames, labels } = dataset;
    const cascaded = configuration.previousStage === undefined ? 0 : labels.foregroundLabels.length;
    const inputChannels = channelNames.length + cascaded;
    const graph = buildGraph(architecture, inputChannels, labels.headCount);
    checkPatch(graph, configuration, {
      doing: DOING,
      file: plans.file ?? join(folder, "plans.json"),
      remedy: "use the plans.json of the training",
    });
    // Reads no weights, only names and shapes.
    for (const { checkpoint, file } of folds) checkpointWeights(checkpoint, graph, file);
    if (mirrorAxes?.some((axis) => axis >= configuration.dimensions)) {
      throw new UserError({
        doing: DOING,
        file: folds[0].file,
        problem: `inference_allowed_mirroring_axes is (${
          mirrorAxes.join(", ")
        }), the network has ${configuration.dimensions} axes`,
      });
    }
    return {
      folder,
      plans,
      dataset,
      configuration: { ...configuration, architecture },
      trainerName,
      mirrorAxes,
      folds,
      inputChannels,
      outputChannels: labels.headCount,
      graph,
      [Symbol.dispose]: dispose,
    };
  } catch (error) {
    dispose();
    throw error;
  }
}

interface FolderEntries {
  readonly files: ReadonlySet<string>;
  readonly folders: ReadonlySet<string>;
}

async function listFolder(folder: string): Promise<FolderEntries> {
  const files = new Set<string>();
  const folders = new Set<string>();
  for await (const entry of Deno.readDir(folder)) {
    const isFolder = entry.isSymlink
      ? await Deno.stat(join(folder, entry.name)).then((info) => info.isDirectory, () => false)
      : entry.isDirectory;
    (isFolder ? folders : files).add(entry.name);
  }
  return { files, folders };
}

/** @throws UserError if the fold's folder may not be read */
async function listFold(folder: string, fold: string): Promise<FolderEntries> {
  const path = join(folder, `fold_${fold}`);
  try {
    return await listFolder(path);
  } catch (error) {
    throw readError(error, path, DOING);
  }
}

/** Lists the folder; if it is no model folder, says so and names the model folders inside it. */
async function listModelFolder(folder: string): Promise<FolderEntries> {
  let entries: FolderEntries;
  try {
    entries = await listFolder(folder);
  } catch (error) {
    const problem = error instanceof Deno.errors.NotFound
      ? "there is no such folder"
      : error instanceof Deno.errors.NotADirectory
      ? "it is a file; the model's folder is needed"
      : error instanceof Deno.errors.PermissionDenied || error instanceof Deno.errors.NotCapable
      ? "it may not be read"
      : undefined;
    if (problem === undefined) throw error;
    const remedy = "check the path, or the dataset, trainer, plans and configuration that it is made of";
    throw new UserError({ doing: DOING, file: folder, problem, remedy }, { cause: error });
  }
  const missing = ["plans.json", "dataset.json"].filter((name) => !entries.files.has(name));
  if (!missing.length) return entries;

  const inside = await findModelFolders(folder, entries.folders);
  const upwards = /(^|[\\/])fold_[^\\/]+[\\/]*$/.test(folder);
  throw new UserError({
    doing: DOING,
    file: folder,
    problem: `${missing.join(" and ")} ${missing.length > 1 ? "are" : "is"} missing there`,
    remedy: inside.length
      ? `model folders inside it: ${inside.slice(0, 5).join(", ")}${
        inside.length > 5 ? ` and ${inside.length - 5} more` : ""
      }`
      : upwards
      ? "give the folder above it: the one with plans.json, dataset.json and fold_*"
      : "give the folder <trainer>__<plans>__<configuration> with plans.json, dataset.json and fold_*",
  });
}

/** Model folders one or two levels below: TotalSegmentator's and nnUNet_results' trees are <dataset>/<model folder>. */
async function findModelFolders(folder: string, children: ReadonlySet<string>): Promise<string[]> {
  const found: string[] = [];
  for (const child of [...children].sort()) {
    const inner = await listFolder(join(folder, child)).catch(() => undefined);
    if (!inner) continue;
    if (isModel(inner)) found.push(join(folder, child));
    for (const grandchild of [...inner.folders].filter((name) => name.includes("__")).sort()) {
      const deepest = await listFolder(join(folder, child, grandchild)).catch(() => undefined);
      if (deepest && isModel(deepest)) found.push(join(folder, child, grandchild));
    }
  }
  return found;
}

/** A folder of predictions has plans.json too, but no fold. */
function isModel(entries: FolderEntries): boolean {
  return entries.files.has("plans.json") && foldNames(entries).length > 0;
}

/** The folds asked for, or all but fold_all that hold the checkpoint, ascending. */
async function chooseFolds(folder: string, entries: FolderEntries, options: OpenModelOptions): Promise<string[]> {
  const there = foldNames(entries);
  if (options.folds) {
    if (!options.folds.length) throw new UserError({ doing: DOING, file: folder, problem: "no fold was asked for" });
    return [...new Set(options.folds.map((name) => (/^[0-9]+$/.test(name) ? String(Number(name)) : name)))];
  }
  const holding: string[] = [];
  for (const name of there) {
    const { files } = await listFold(folder, name);
    if (name !== "all" && files.has(options.checkpointName)) holding.push(name);
  }
  if (holding.length) return holding;
  const only = there.length === 1 && there[0] === "all";
  throw new UserError({
    doing: DOING,
    file: folder,
    problem: there.length
      ? `no fold holds ${options.checkpointName} (folds there: ${there.join(", ")})`
      : "there is no fold_* folder in it",
    remedy: only ? "fold_all is only used when asked for: -f all" : await otherCheckpoints(folder, there),
  });
}

function foldNames(entries: FolderEntries): string[] {
  const names = [...entries.folders].filter((name) => /^fold_(?:all|[0-9]+)$/.test(name))
    .map((name) => name.slice(5));
  return names.sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
}

async function requireFold(folder: string, fold: string, entries: FolderEntries, checkpoint: string): Promise<void> {
  if (entries.folders.has(`fold_${fold}`)) return;
  const there = foldNames(entries);
  // A fold whose training was stopped is there and can't be chosen.
  const holding: string[] = [];
  for (const name of there) if ((await listFold(folder, name)).files.has(checkpoint)) holding.push(name);
  throw new UserError({
    doing: DOING,
    file: folder,
    problem: `there is no fold ${fold}; ${
      there.length ? `folds there: ${there.join(", ")}` : "no fold_* folder is there"
    }`,
    remedy: holding.length
      ? `choose among them: -f ${holding.join(" ")}`
      : there.length
      ? await otherCheckpoints(folder, there)
      : "copy the fold_* folders beside plans.json",
  });
}

async function checkpointFile(folder: string, fold: string, checkpointName: string): Promise<string> {
  const file = join(folder, `fold_${fold}`, checkpointName);
  const { files } = await listFold(folder, fold);
  if (files.has(checkpointName)) return file;
  throw new UserError({
    doing: DOING,
    file,
    problem: "there is no such checkpoint",
    remedy: await otherCheckpoints(folder, [fold], checkpointName),
  });
}

/** "Use one of those that are there with -chk: ...". */
async function otherCheckpoints(folder: string, folds: readonly string[], wanted?: string): Promise<string> {
  const names = new Set<string>();
  for (const fold of folds) {
    const { files } = await listFold(folder, fold);
    for (const name of files) if (name.endsWith(".pth")) names.add(name);
  }
  if (!names.size) return "no .pth file is there: copy the checkpoint, or finish the training";
  const nearest = wanted === undefined ? undefined : nearestName(wanted, names);
  const choice = nearest ?? [...names].sort()[0];
  return `there: ${[...names].sort().join(", ")}; choose one with -chk, as -chk ${choice}`;
}

function checkChannels(folder: string, dataset: DatasetJson, configuration: Configuration): void {
  const inPlans = configuration.normalizationSchemes.length;
  const { channelNames } = dataset;
  if (inPlans === channelNames.length) return;
  throw new UserError({
    doing: DOING,
    file: join(folder, "dataset.json"),
    problem:
      `it names ${plural(channelNames.length, "channel")} (${
        channelNames.join(", ")
      }), but normalization_schemes of the ` +
      `configuration ${configuration.name} in plans.json has ${inPlans}`,
    remedy: "use the dataset.json and plans.json of the training",
  });
}
