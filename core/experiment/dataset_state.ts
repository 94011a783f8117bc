/**
 * How far a dataset is before its trainings: checked and fingerprinted, planned, preprocessed; and what of that is of an earlier state of
 * the dataset or its plans.
 */
import { UserError } from "../base/errors.ts";
import { readJsonFile } from "../base/json.ts";
import { join } from "../base/path.ts";
import { plural } from "../base/plural.ts";
import { statOrNull } from "../base/stat_or_null.ts";
import { changedFiles, fileStates, rememberedCheck } from "../dataset/integrity_record.ts";
import type { RawDataset } from "../dataset/raw_dataset.ts";
import { isFolder } from "../dataset/dataset_names.ts";
import { type DatasetJson } from "../dataset/dataset_json.ts";
import { parseDatasetJson } from "../dataset/read_dataset_json.ts";
import { differingConfigurations, type PlanDatasetOptions } from "../plan/plan_dataset.ts";
import type { Planner } from "../plan/planners.ts";
import type { Plans } from "../plan/plans.ts";
import { readPlans } from "../plan/read_plans.ts";
import { classKeys } from "../preprocess/class_locations.ts";
import { dataDifferences, keyDifferences, settingText } from "../preprocess/data_setting.ts";
import { FINGERPRINT_FILE } from "../preprocess/fingerprint.ts";
import type { NonFinitePolicy } from "../preprocess/non_finite.ts";
import { countDone, type DataPlaces, isComplete, placesOf } from "../preprocess/preprocess_dataset_folder.ts";
import { DATA_FORMATS, type DataFormat } from "../preprocess/preprocess_worker_job.ts";
import type { Experiment } from "./experiment.ts";

/** A stage before the trainings. */
export interface StageState {
  readonly isDone: boolean;
  /** Why what is there is not what is asked for, in words. */
  readonly stale: readonly string[];
}

/** Of the plans; with what they and dataset.json say. */
export interface PlansState extends StageState {
  readonly plans?: Plans;
  readonly dataset?: DatasetJson;
}

/** Of a configuration's preprocessed data. */
export interface DataState extends StageState {
  readonly configuration: string;
  readonly folder: string;
  readonly format: DataFormat;
  /** Cases that are there as they have to be. */
  readonly cases: number;
  /** All cases. */
  readonly of: number;
}

/** @param preprocessed The dataset's folder in nnUNet_preprocessed */
export async function lookAtFingerprint(
  raw: RawDataset,
  preprocessed: string,
  { verify, allowGeometryMismatch }: { readonly verify: boolean; readonly allowGeometryMismatch: boolean },
): Promise<StageState> {
  const exists = await statOrNull(join(preprocessed, FINGERPRINT_FILE), "looking for the fingerprint") !== null;
  const states = await fileStates(raw);
  const isChecked = await rememberedCheck(preprocessed, states, allowGeometryMismatch) !== null;
  if (!exists || isChecked) return { isDone: exists, stale: [] };
  const changed = await changedFiles(preprocessed, states);
  const names = changed.slice(0, 3).join(", ") + (changed.length > 3 ? ", ..." : "");
  const stale = changed.length === 0 ? [] : [
    `${plural(changed.length, "file")} of the dataset changed, came or went after the fingerprint was made: ${names}`,
  ];
  return { isDone: !verify && stale.length === 0, stale };
}

/** What a planner may be told. */
export type PlanningChoice = Pick<PlanDatasetOptions, "gpuMemoryTargetGB" | "targetSpacing">;

/** What plans are asked for. */
export interface AskedPlans {
  readonly rawFolder: string;
  readonly preprocessed: string;
  readonly plansName: string;
  /** What is to have made them; undefined where plans are given by a name of their own, and taken as they are. */
  readonly planner?: Planner;
  readonly planning: PlanningChoice;
}

export async function lookAtPlans(raw: RawDataset, asked: AskedPlans): Promise<PlansState> {
  const { preprocessed, plansName, planner } = asked;
  const file = join(preprocessed, `${plansName}.json`);
  const datasetFile = join(preprocessed, "dataset.json");
  if (await statOrNull(file, "looking for the plans") === null) return { isDone: false, stale: [] };
  const plans = await readPlans(file);
  const now = parseDatasetJson(raw.json, raw.jsonFile);
  // Beside plans that were brought there it comes with the data.
  const isCopied = await statOrNull(datasetFile, "looking for dataset.json") !== null;
  const dataset = isCopied ? parseDatasetJson((await readJsonFile(datasetFile)).value, datasetFile) : now;
  const keysOf = ({ labels, json }: DatasetJson) => classKeys(labels, json);
  const stale = keyDifferences(keysOf(dataset), keysOf(now)).map((text) => `the raw dataset changed: ${text}`);
  const [channels, channelsNow] = [dataset, now].map(({ channelNames }) => channelNames.join(", "));
  if (channels !== channelsNow) stale.push(`dataset.json had the channels ${channels} and has ${channelsNow} now`);
  if (planner) {
    const others = await madeByOther(plans, planner, join(preprocessed, FINGERPRINT_FILE));
    stale.push(...others.length > 0 ? others : await madeForOther(plans, planner, asked));
  }
  return { isDone: true, stale, plans, dataset };
}

async function madeByOther(plans: Plans, planner: Planner, fingerprintFile: string): Promise<string[]> {
  const stale: string[] = [];
  const { experiment_planner_used: used, foreground_intensity_properties_per_channel: there } = plans.json as {
    readonly experiment_planner_used?: unknown;
    readonly foreground_intensity_properties_per_channel?: unknown;
  };
  if (typeof used === "string" && used !== planner.name) {
    stale.push(`the plans were made by ${used}, not ${planner.name}`);
  }
  if (await statOrNull(fingerprintFile, "looking for the fingerprint") === null) return stale;
  const fingerprint = (await readJsonFile(fingerprintFile)).value as {
    readonly foreground_intensity_properties_per_channel?: unknown;
  } | null;
  const now = fingerprint?.foreground_intensity_properties_per_channel;
  if (sorted(there) !== sorted(now)) {
    stale.push("the plans were made of another fingerprint than the one that is there");
  }
  return stale;
}

/** Plans say nothing of what their planner was told: it is tried what it makes of it. */
async function madeForOther(
  plans: Plans,
  planner: Planner,
  { rawFolder, preprocessed, plansName, planning }: AskedPlans,
): Promise<string[]> {
  const { gpuMemoryTargetGB: memory, targetSpacing: spacing } = planning;
  const fingerprint = join(preprocessed, FINGERPRINT_FILE);
  if (memory === undefined && spacing === undefined) return [];
  if (await statOrNull(fingerprint, "looking for the fingerprint") === null) return [];
  const { configurations } = plans.json as { readonly configurations?: Readonly<Record<string, unknown>> };
  const options = { ...planning, planner, plansName };
  const other = await differingConfigurations(rawFolder, preprocessed, options, configurations ?? {});
  if (other.length === 0) return [];
  const told = [
    ...memory === undefined ? [] : [`${memory} GB of GPU memory`],
    ...spacing === undefined ? [] : [`a spacing of ${spacing.join(" x ")} mm`],
  ].join(" and ");
  return [`${other.join(", ")} ${other.length === 1 ? "is" : "are"} not what ${planner.name} plans for ${told}`];
}

/** As text, whatever the order of keys. */
function sorted(value: unknown): string {
  return JSON.stringify(
    value,
    (_, item) =>
      typeof item === "object" && item !== null && !Array.isArray(item)
        ? Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1)))
        : item,
  ) ?? "";
}

/** Of each configuration; two may have the same data. */
export async function lookAtData(experiment: Experiment, nan: NonFinitePolicy): Promise<DataState[]> {
  const { configurations, plans, dataset, preprocessed, raw, inputs } = experiment;
  const keys = classKeys(dataset.labels, dataset.json);
  const states: DataState[] = [];
  for (const configuration of configurations) {
    const { name, dataIdentifier } = configuration;
    const folder = join(preprocessed, dataIdentifier);
    const looked = DATA_FORMATS.map((format) => {
      const setting = settingText(plans, configuration, keys, { format, nan });
      const options = { setting, inputs };
      return {
        format,
        cases: countDone(preprocessed, dataIdentifier, options),
        isComplete: isComplete(folder, options),
      };
    });
    const [best] = looked.toSorted((a, b) => Number(b.isComplete) - Number(a.isComplete) || b.cases - a.cases);
    const stale = await isFolder(folder) ? await dataDifferences(folder, plans, configuration, dataset) : [];
    const isDone = best.isComplete && await hasCopies(preprocessed, raw) &&
      !await hasLeftovers(placesOf(preprocessed, dataIdentifier));
    states.push({
      configuration: name,
      folder,
      format: best.format,
      cases: best.cases,
      of: raw.cases.length,
      isDone,
      stale,
    });
  }
  return states;
}

/** True if a run was killed while it gave the folder its name, or is at it: preprocessing tidies up, or says so. */
async function hasLeftovers({ work, old, lock }: DataPlaces): Promise<boolean> {
  for (const path of [work, old, lock]) {
    if (await statOrNull(path, "looking at the preprocessed data") !== null) return true;
  }
  return false;
}

/** True if dataset.json is beside the data, and the copies of all segmentations, which validations compare with. */
async function hasCopies(preprocessed: string, { cases, fileEnding }: RawDataset): Promise<boolean> {
  const names = ["dataset.json", ...cases.map(({ id }) => `gt_segmentations/${id}${fileEnding}`)];
  for (const name of names) {
    if (await statOrNull(join(preprocessed, name), "looking for copies of the raw dataset") === null) return false;
  }
  return true;
}

/** @throws UserError listing what is stale, and what may be done */
export function refuseStale(found: readonly { readonly what: string; readonly stale: readonly string[] }[]): void {
  const lines = found.flatMap(({ what, stale }) => stale.map((text) => `${what}: ${text}`));
  if (lines.length === 0) return;
  throw new UserError({
    doing: "looking at what is there",
    problem: `${lines.length === 1 ? "something is" : "some of it is"} not what is asked for now:\n  ${
      lines.join("\n  ")
    }`,
    remedy: "restore what was changed; or add --stale redo to make it anew (folds that are trained are moved to " +
      "old_fold_N beside), or --stale keep to use it as it is",
  });
}
