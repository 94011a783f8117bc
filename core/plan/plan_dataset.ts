/**
 * From a dataset's folders to its plans file: reads dataset.json and fingerprint, plans, and writes what upstream's planner writes.
 * Source: plan_experiment, save_plans and _maybe_copy_splits_file of
 * nnunetv2/experiment_planning/experiment_planners/default_experiment_planner.py.
 */
import { plural } from "../base/plural.ts";
import { UserError } from "../base/errors.ts";
import { readTextOrNull } from "../base/read_text.ts";
import { requireObject, show } from "../base/fields.ts";
import { ensureFolder, writeAtomically } from "../base/files.ts";
import { removeLeftovers } from "../base/leftovers.ts";
import { JsonFloat, keysOf, parseJson, parseJsonExactly, readJsonFile, stringifyJson } from "../base/json.ts";
import { join } from "../base/path.ts";
import { chooseReader } from "../dataset/choose_reader.ts";
import { buildGraph } from "../network/build_graph.ts";
import { parseDatasetJson } from "../dataset/read_dataset_json.ts";
import { type RawDataset, readRawDataset, refuseSameFolder } from "../dataset/raw_dataset.ts";
import { planExperiment, type PlanningRequest } from "./plan_experiment.ts";
import type { Planner } from "./planners.ts";
import { requirePlansName } from "./plans_name.ts";
import { checkPatch } from "./check_patch.ts";
import { readFingerprint } from "./read_fingerprint.ts";
import { parsePlans, resolveConfiguration } from "./read_plans.ts";

export interface PlanDatasetOptions {
  readonly planner: Planner;
  readonly plansName?: string;
  readonly gpuMemoryTargetGB?: number;
  /** mm, in the reader's axis order. */
  readonly targetSpacing?: readonly number[];
  readonly preprocessor?: string;
  readonly onWarning?: (message: string) => void;
}

export interface PlannedDataset {
  /** The plans file. */
  readonly file: string;
  readonly plansName: string;
  readonly request: PlanningRequest;
  readonly plans: Readonly<Record<string, unknown>>;
  /** Configurations of an older file of this name that were kept. */
  readonly kept: readonly string[];
  /** Configurations that would be none, and why. */
  readonly leftOut: ReadonlyMap<string, string>;
}

const DOING = "planning the experiment";
const MOST_CASES = 1e9;

/**
 * Plans the dataset in `rawFolder` and writes <plans name>.json, dataset.json and, where the raw dataset has one, splits_final.json
 * into `preprocessedFolder`. Configurations of an existing plans file that are not planned anew are kept.
 * @throws UserError for a dataset.json or fingerprint that can't be used, and splits that contradict those already there
 */
export async function planDataset(
  rawFolder: string,
  preprocessedFolder: string,
  options: PlanDatasetOptions,
): Promise<PlannedDataset> {
  const plansName = requirePlansName(options.plansName ?? options.planner.plansName, { doing: DOING });
  refuseSameFolder(rawFolder, preprocessedFolder, DOING);
  const { dataset, request, plans, leftOut } = await makePlans(rawFolder, preprocessedFolder, options);
  for (const [name, why] of leftOut) options.onWarning?.(`${name} is left out of the plans: ${why}`);
  const file = join(preprocessedFolder, `${plansName}.json`);
  requireReadable(withFloats(plans), file, request);
  await ensureFolder(preprocessedFolder, DOING);
  removeLeftovers(preprocessedFolder);
  await placeSplits(join(rawFolder, "splits_final.json"), join(preprocessedFolder, "splits_final.json"));
  const { merged, kept } = await mergeExisting(file, plans, leftOut, options.onWarning);
  await writeAtomically(join(preprocessedFolder, "dataset.json"), dataset.jsonText, { doing: DOING });
  await writeAtomically(file, stringifyJson(merged), { doing: "writing the plans" });
  return { file, plansName, request, plans, kept, leftOut };
}

/**
 * Names of the configurations that planning would make other than they are in `there`, or that are not there; nothing is written.
 * @param there The `configurations` of plans
 * @throws UserError as {@link planDataset}
 */
export async function differingConfigurations(
  rawFolder: string,
  preprocessedFolder: string,
  options: PlanDatasetOptions,
  there: Readonly<Record<string, unknown>>,
): Promise<string[]> {
  const { plans } = await makePlans(rawFolder, preprocessedFolder, options);
  // As values, whatever the order of keys: 1 and 1.0 are the same here.
  const plain = (value: unknown) => JSON.stringify(parseJson(stringifyJson(value, { sortKeys: true }), rawFolder));
  return Object.entries(plans.configurations as Configurations)
    .filter(([name, planned]) => plain(planned) !== plain(there[name] ?? null))
    .map(([name]) => name);
}

/** The plans of a dataset, in memory. */
async function makePlans(
  rawFolder: string,
  preprocessedFolder: string,
  options: PlanDatasetOptions,
): Promise<Pick<PlannedDataset, "request" | "plans" | "leftOut"> & { readonly dataset: RawDataset }> {
  const dataset = await readRawDataset(rawFolder);
  const { channelNames } = parseDatasetJson(dataset.json, dataset.jsonFile, DOING);
  const { numTraining } = dataset.json;
  const isCount = typeof numTraining === "number" && Number.isInteger(numTraining);
  if (!isCount || numTraining < 1 || numTraining > MOST_CASES) {
    const problem = numTraining === undefined
      ? "numTraining is missing"
      : `numTraining is ${show(numTraining)}, not a whole number from 1 to ${MOST_CASES}`;
    const remedy = `write "numTraining": ${dataset.cases.length}, the number of cases that are there`;
    throw new UserError({ doing: DOING, file: dataset.jsonFile, problem, remedy });
  }
  const fingerprintFile = join(preprocessedFolder, "dataset_fingerprint.json");
  const fingerprint = await readFingerprint(fingerprintFile);
  const example = dataset.cases.find(({ images }) => images.length > 0)?.images[0] ?? "";
  const { reader, warnings } = await chooseReader(dataset.json, dataset.jsonFile, example);
  warnings.forEach((warning) => options.onWarning?.(warning));
  const request: PlanningRequest = {
    ...options,
    fingerprint,
    datasetName: dataset.name,
    channelNames,
    labelCount: keysOf(dataset.json.labels as object).length,
    trainingCases: numTraining,
    reader,
  };
  const leftOut = new Map<string, string>();
  return { dataset, request, plans: planned(request, fingerprintFile, leftOut), leftOut };
}

type Configurations = Record<string, unknown>;

/** Nothing is written that can't be read again and made a network of. @throws UserError naming the field */
function requireReadable(plans: Record<string, unknown>, file: string, request: PlanningRequest): void {
  const json = parseJson(stringifyJson(plans), file) as { configurations: Record<string, Configurations> };
  // A preprocessor of another name is written as asked for, for Python to use.
  for (const one of Object.values(json.configurations)) delete one.preprocessor_name;
  try {
    const parsed = parsePlans(json, file);
    for (const name of parsed.configurationNames) {
      const configuration = resolveConfiguration(parsed, name);
      const graph = buildGraph(configuration.architecture, request.channelNames.length, request.labelCount);
      checkPatch(graph, configuration, { doing: DOING, file });
    }
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const problem = `the plans that result can't be used, and are not written: ${error.parts.problem}`;
    const remedy = "check dataset.json and the fingerprint (extract_fingerprint --clean makes it anew)";
    throw new UserError({ ...error.parts, doing: DOING, problem, remedy }, { cause: error });
  }
}

/** The plans; an error names the fingerprint that they can't be made of. @param leftOut Gets configurations and why they are left out */
function planned(
  request: PlanningRequest,
  file: string,
  leftOut: Map<string, string>,
): ReturnType<typeof planExperiment> {
  try {
    return planExperiment(request, (name, why) => leftOut.set(name, why));
  } catch (error) {
    throw error instanceof UserError ? new UserError({ file, ...error.parts }, { cause: error }) : error;
  }
}

/** The new plans with the configurations of the file that is there and that are not among the new ones. */
async function mergeExisting(
  file: string,
  plans: Readonly<Record<string, unknown>>,
  leftOut: ReadonlyMap<string, string>,
  onWarning: PlanDatasetOptions["onWarning"],
): Promise<{ merged: Record<string, unknown>; kept: string[] }> {
  const merged = withFloats(plans);
  const configurations = merged.configurations as Configurations;
  const doing = "reading the plans that are there";
  const text = await readTextOrNull(file, doing);
  if (text === null) return { merged, kept: [] };
  const context = { doing, file, remedy: "correct or remove it; it is planned anew then" };
  const { configurations: there = {} } = requireObject(parseJsonExactly(text, file, doing), { ...context, path: [] });
  const old = requireObject(there, { ...context, path: ["configurations"] });
  // As values: 1 and 1.0 are the same here.
  const plain = (value: unknown) => JSON.stringify(parseJson(stringifyJson(value, { sortKeys: true }), file));
  const kept: string[] = [];
  const changed: string[] = [];
  // Of an earlier planning, not the user's own: what is left out now, and the cascade that starts with it.
  const dropped = new Set(leftOut.keys());
  if (leftOut.size > 0 && !configurations["3d_lowres"]) dropped.add("3d_lowres").add("3d_cascade_fullres");
  for (const name of keysOf(old)) {
    if (dropped.has(name)) changed.push(name);
    else if (!Object.hasOwn(configurations, name)) {
      configurations[name] = old[name];
      kept.push(name);
    } else if (plain(old[name]) !== plain(configurations[name])) {
      changed.push(name);
    }
  }
  if (changed.length > 0) {
    const backup = file.replace(/\.json$/, ".before.json");
    await writeAtomically(backup, text, { doing: "keeping the plans that were there" });
    onWarning?.(
      `${changed.join(", ")} in ${file} ${
        changed.length === 1 ? "is" : "are"
      } planned anew or left out, and other than before; ` +
        `the old plans are kept as ${backup}. To keep a change, give the configuration a name of its own.`,
    );
  }
  return { merged, kept };
}

/** The plans with Python's floats marked, so that they are written as upstream writes them. */
function withFloats(plans: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const floats = (values: unknown) => (values as number[]).map((value) => new JsonFloat(value));
  const configurations: Configurations = {};
  for (const [name, value] of Object.entries(plans.configurations as Record<string, Configurations>)) {
    configurations[name] = value.spacing === undefined ? value : {
      ...value,
      // Upstream rounds the sizes of 3d_lowres to integers, and leaves the others as the floats a median is.
      ...(name !== "3d_lowres" && { median_image_size_in_voxels: floats(value.median_image_size_in_voxels) }),
      spacing: floats(value.spacing),
    };
  }
  return {
    ...plans,
    original_median_spacing_after_transp: floats(plans.original_median_spacing_after_transp),
    configurations,
  };
}

interface Split {
  readonly train: readonly string[];
  readonly val: readonly string[];
}

/** Copies the raw dataset's splits if there are none yet; else those there have to be the same, fold by fold. */
async function placeSplits(source: string, target: string): Promise<void> {
  const text = await readTextOrNull(source, "reading the raw dataset's splits");
  if (text === null) return;
  const wanted = parseSplits((await readJsonFile(source)).value, source);
  let there: readonly Split[];
  try {
    there = parseSplits((await readJsonFile(target)).value, target);
  } catch (error) {
    if (!(error instanceof UserError) || !(error.cause instanceof Deno.errors.NotFound)) throw error;
    await writeAtomically(target, text, { doing: "copying the splits" });
    return;
  }
  const same = (a: readonly string[], b: readonly string[] | undefined) =>
    b !== undefined && new Set(a).size === new Set(b).size && a.every((id) => b.includes(id));
  wanted.forEach(({ train, val }, fold) => {
    if (same(train, there[fold]?.train) && same(val, there[fold]?.val)) return;
    throw new UserError({
      doing: "comparing the splits",
      file: target,
      problem: there[fold] === undefined
        ? `it has ${plural(there.length, "fold")}, and the raw dataset's splits_final.json has ${wanted.length}`
        : `fold ${fold} has other cases than in the raw dataset's splits_final.json`,
      remedy: `models may have been trained with it: remove it to use ${source}, or correct ${source}`,
    });
  });
}

function parseSplits(value: unknown, file: string): readonly Split[] {
  const isIds = (ids: unknown) => Array.isArray(ids) && ids.every((id) => typeof id === "string");
  const wellFormed = Array.isArray(value) && value.every((fold) => isIds(fold?.train) && isIds(fold?.val));
  if (wellFormed) return value;
  throw new UserError({
    doing: "reading the splits",
    file,
    problem: "it is no list of folds",
    remedy: 'write [{"train": [CASE, ...], "val": [CASE, ...]}, ...]',
  });
}
