/**
 * A raw dataset made into training data by its plans: all configurations in one pass over the cases, the ground truth's copy, and
 * folders that are replaced only when what replaces them is complete.
 * Source: preprocess_dataset of nnunetv2/experiment_planning/plan_and_preprocess_api.py, DefaultPreprocessor.run.
 */
import { statOrNull } from "../base/stat_or_null.ts";
import { UserError, type UserErrorParts } from "../base/errors.ts";
import { ensureFolder, freeBytes, writeAtomically } from "../base/files.ts";
import { shareMemory } from "../base/memory_allowance.ts";
import { readJsonFile } from "../base/json.ts";
import { removeLeftovers } from "../base/leftovers.ts";
import { nearestName } from "../base/nearest.ts";
import { join } from "../base/path.ts";
import { parseDatasetJson } from "../dataset/read_dataset_json.ts";
import {
  filesEndingIn,
  leftOutFiles,
  type RawCase,
  type RawDataset,
  readRawDataset,
  refuseSameFolder,
} from "../dataset/raw_dataset.ts";
import type { Configuration, Plans } from "../plan/plans.ts";
import { isPlansName, requirePlansName } from "../plan/plans_name.ts";
import { readPlans, resolveConfiguration } from "../plan/read_plans.ts";
import { classKeys } from "./class_locations.ts";
import { dependencies, settingText } from "./data_setting.ts";
import { declaredLabels } from "./declared_labels.ts";
import { copyGroundTruth } from "./preprocess_dataset_truth.ts";
import type { NonFinitePolicy } from "./non_finite.ts";
import { describeBytes } from "../base/describe_bytes.ts";
import { type CaseDisk, checkFreeDisk, forecastCase } from "./preprocess_dataset_forecast.ts";
import type { InputStates } from "./data_record.ts";
import { type DataFolder, inputStates, openDataFolder } from "./preprocess_dataset_folder.ts";
import { type Admit, shareJobs } from "./preprocess_shared.ts";
import {
  type DataFormat,
  PREPROCESSING,
  type PreprocessJob,
  type PreprocessReply,
  type PreprocessSetting,
} from "./preprocess_worker_job.ts";
import { preprocessCases, type SizedJob } from "./preprocess_worker_pool.ts";
import { openSharedDataFolder, type SharedDataFolder } from "./shared_data_folder.ts";

/** The ground truth's copy, beside the data. */
const TRUTH_FOLDER = "gt_segmentations";

export interface PreprocessDatasetOptions {
  readonly plansName: string;
  readonly configurations: readonly string[];
  readonly format: DataFormat;
  readonly threads: number;
  /** Bytes that the run may take; undefined: what the machine has to give. */
  readonly maxMemory?: number;
  readonly nan: NonFinitePolicy;
  readonly allowGeometryMismatch: boolean;
  /** True: cases that are done are made again. */
  readonly redo: boolean;
  /** True: the cases are shared with other processes that share them. Not with `redo`, by which each would make the others' again. */
  readonly share?: boolean;
  readonly signal?: AbortSignal;
  /** `of` counts the cases that are not done yet. */
  readonly onCase?: (done: number, of: number) => void;
  readonly onInfo?: (message: string) => void;
  readonly onWarning?: (message: string) => void;
}

export interface PreprocessedConfiguration {
  readonly configuration: string;
  readonly folder: string;
  /** kept: it was complete. incomplete: cases failed, and what was there before stays. */
  readonly state: "written" | "kept" | "incomplete";
  readonly cases: number;
  /** Cases that an earlier run had done. */
  readonly reused: number;
  /** Cases that other processes have done since, of those that share them. */
  readonly elsewhere: number;
}

export interface PreprocessOutcome {
  readonly dataset: RawDataset;
  readonly plansName: string;
  readonly configurations: readonly PreprocessedConfiguration[];
  /** Of `-c`, those that the plans don't have. */
  readonly skipped: readonly string[];
  readonly failures: readonly UserError[];
  readonly warnings: readonly string[];
}

/**
 * Preprocesses the dataset in `rawFolder` into `preprocessedFolder`, where its plans are.
 * @throws UserError for what concerns all cases: plans, disk; Interrupted if `signal` aborts. What concerns one case is in the result.
 */
export async function preprocessDataset(
  rawFolder: string,
  preprocessedFolder: string,
  options: PreprocessDatasetOptions,
): Promise<PreprocessOutcome> {
  refuseSameFolder(rawFolder, preprocessedFolder, "preprocessing the dataset");
  const dataset = await readRawDataset(rawFolder);
  for (const note of await leftOutFiles(rawFolder)) options.onWarning?.(note);
  const { plans, configurations, skipped } = await readConfigurations(preprocessedFolder, options);
  const { keys, declared } = await classesOfDataset(preprocessedFolder, dataset, options);
  const failures: UserError[] = [];
  const warnings: string[] = [];
  const warn = (message: string) => {
    warnings.push(message);
    options.onWarning?.(message);
  };
  const { cases, inputs } = await usableCases(dataset, failures);
  using stack = new DisposableStack();
  const { folders, shared } = await openFolders(preprocessedFolder, configurations, stack, {
    options,
    inputs,
    settingOf: (configuration) => settingText(plans, configuration, keys, options),
  });
  const { allowance, ...threads } = shareMemory(options.maxMemory, options.threads);
  const jobs = await listJobs(cases, plans, configurations, folders, options, preprocessedFolder, warn);
  const setting: PreprocessSetting = {
    reader: plans.reader,
    plans,
    configurations,
    folders: folders.map(({ work }) => work),
    keys,
    declared,
    format: options.format,
    nan: options.nan,
    allowGeometryMismatch: options.allowGeometryMismatch,
    ...(allowance && { memory: allowance }),
  };
  let done = 0;
  const made = folders.map(() => 0);
  const left = new Map(jobs.map(({ job, disk }) => [job.case.id, disk]));
  const settle = (id: string) => {
    if (left.delete(id)) options.onCase?.(++done, jobs.length);
  };
  // deno-lint-ignore require-await -- callers of the pool may wait
  const onReply = async ({ case: { id }, configurations: asked }: PreprocessJob, reply: PreprocessReply) => {
    for (const { configuration, files } of reply.made) {
      folders[configuration].record(id, files);
      made[configuration]++;
    }
    if (reply.kind === "failed" && reply.parts.endsRun) throw new UserError(reply.parts);
    for (const index of asked) shared?.[index].fail(id);
    if (reply.kind === "failed") failures.push(new UserError(reply.parts));
    else reply.warnings.forEach(warn);
    settle(id);
  };
  const run = (some: readonly SizedJob[], admit?: Admit) =>
    preprocessCases(
      setting,
      some,
      { ...threads, beside: admit !== undefined, signal: options.signal, ...(admit && { admit }) },
      onReply,
    );
  const working = !shared ? run(jobs) : shareJobs(jobs, shared, options.signal, run, (id, how) => {
    if (how === "failed") failures.push(failedElsewhere(id));
    settle(id);
  });
  await working.catch((error) => {
    // Only now have the other threads ended their cases.
    if (!(error instanceof UserError) || !error.parts.endsRun) throw error;
    throw outputFailed(error.parts, left, preprocessedFolder);
  });
  const isWhole = failures.length === 0;
  if (isWhole) { for (const folder of folders) await folder.finish(); }
  const results = configurations.map((configuration, i): PreprocessedConfiguration => {
    const { path, complete, done: { size: reused } } = folders[i];
    return {
      configuration: configuration.name,
      folder: path,
      state: !isWhole ? "incomplete" : complete ? "kept" : "written",
      cases: cases.length,
      reused,
      elsewhere: isWhole ? cases.length - reused - made[i] : 0,
    };
  });
  removeLeftovers(preprocessedFolder);
  await copyGroundTruth(cases, dataset.fileEnding, join(preprocessedFolder, TRUTH_FOLDER));
  return { dataset, plansName: options.plansName, configurations: results, skipped, failures, warnings };
}

interface FolderRequest {
  readonly options: PreprocessDatasetOptions;
  readonly inputs: ReadonlyMap<string, InputStates>;
  readonly settingOf: (configuration: Configuration) => string;
}

/** Opens each configuration's folder; `shared` are the same ones, where they are shared. */
async function openFolders(
  parent: string,
  configurations: readonly Configuration[],
  stack: DisposableStack,
  { options: { redo, share, signal }, inputs, settingOf }: FolderRequest,
): Promise<{ readonly folders: readonly DataFolder[]; readonly shared?: readonly SharedDataFolder[] }> {
  const optionsOf = (configuration: Configuration) => ({ setting: settingOf(configuration), inputs, redo });
  if (!share) {
    const folders: DataFolder[] = [];
    for (const one of configurations) {
      folders.push(stack.use(await openDataFolder(parent, one.dataIdentifier, optionsOf(one))));
    }
    return { folders };
  }
  const shared: SharedDataFolder[] = [];
  for (const one of configurations) {
    shared.push(stack.use(await openSharedDataFolder(parent, one.dataIdentifier, optionsOf(one), signal)));
  }
  return { folders: shared, shared };
}

function failedElsewhere(caseId: string): UserError {
  return new UserError({
    doing: PREPROCESSING,
    caseId,
    problem: "another of the runs that share the cases could not do it",
    remedy: "see what that one says",
  });
}

/** The error that ends the run, with what is still to be written. @param left Bytes of each case that is not done, at most */
function outputFailed(parts: UserErrorParts, left: ReadonlyMap<string, number>, folder: string): UserError {
  const bytes = left.values().reduce((sum, one) => sum + one, 0);
  const free = freeBytes(folder);
  const cases = left.size === 1 ? "the case that is left takes" : `the ${left.size} cases that are left take`;
  const room = free === null ? "" : `, and ${describeBytes(free)} are free in ${folder}`;
  return new UserError({
    ...parts,
    problem: `${parts.problem}. All in all ${cases} up to ${
      describeBytes(bytes)
    }${room}; the cases that are done are kept`,
  });
}

const STANDARD: readonly string[] = ["2d", "3d_fullres", "3d_lowres", "3d_cascade_fullres"];

interface Configurations {
  readonly plans: Plans;
  readonly configurations: readonly Configuration[];
  readonly skipped: readonly string[];
}

async function readConfigurations(
  folder: string,
  { plansName, configurations: names, onInfo }: PreprocessDatasetOptions,
): Promise<Configurations> {
  requirePlansName(plansName, { doing: "reading the plans" });
  const file = join(folder, `${plansName}.json`);
  let plans: Plans;
  try {
    plans = await readPlans(file);
  } catch (error) {
    if (!(error instanceof UserError) || !(error.cause instanceof Deno.errors.NotFound)) throw error;
    const there = await plansIn(folder);
    const near = nearestName(plansName, there);
    throw new UserError({
      doing: "reading the plans",
      file,
      problem: `there is no such file${near === undefined ? "" : `; did you mean ${near}?`}`,
      remedy: there.length === 0
        ? "run plan_experiment first"
        : `run plan_experiment first, or name other plans with -plans_name: ${there.join(", ")}`,
    });
  }
  const byIdentifier = new Map<string, Configuration>();
  const skipped: string[] = [];
  for (const name of names) {
    if (!plans.configurationNames.includes(name)) {
      skipped.push(name);
      const near = nearestName(name, plans.configurationNames);
      onInfo?.(
        `INFO: Configuration ${name} not found in plans file ${plansName}.json. Skipping.` +
          (near !== undefined && !STANDARD.includes(name) ? ` Did you mean ${near}?` : ""),
      );
      continue;
    }
    const configuration = resolveConfiguration(plans, name);
    if (configuration.dataIdentifier.toLowerCase() === TRUTH_FOLDER) {
      const problem = `${name} has the data_identifier ${configuration.dataIdentifier}, the folder of the ground truth`;
      throw new UserError({ doing: "reading the plans", file, problem, remedy: "give it another data_identifier" });
    }
    refuseOthersData(plans, configuration, names, file);
    const other = byIdentifier.get(configuration.dataIdentifier);
    byIdentifier.set(configuration.dataIdentifier, other ?? configuration);
    if (other === undefined) continue;
    if (dependencies(plans, other) === dependencies(plans, configuration)) {
      onInfo?.(`${name} uses the data of ${other.name}.`);
      continue;
    }
    throw sharedData(other, configuration, file);
  }
  // Upstream's own names may be asked for of every dataset; others are a mistake where nothing else is asked for.
  if (byIdentifier.size === 0 && skipped.some((name) => !STANDARD.includes(name))) {
    throw new UserError({
      doing: "choosing the configurations",
      file,
      problem: `it has none of those asked for (-c ${skipped.join(" ")})`,
      remedy: `give some of ${plans.configurationNames.join(", ")}`,
    });
  }
  return { plans, configurations: [...byIdentifier.values()], skipped };
}

/** Refuses to put a configuration's data where those of one lie that isn't asked for. @throws UserError naming both */
function refuseOthersData(plans: Plans, configuration: Configuration, asked: readonly string[], file: string): void {
  for (const name of plans.configurationNames) {
    if (asked.includes(name)) continue;
    let other: Configuration;
    try {
      other = resolveConfiguration(plans, name);
    } catch (error) {
      if (error instanceof UserError) continue; // It has no data that could be replaced.
      throw error;
    }
    if (other.dataIdentifier !== configuration.dataIdentifier) continue;
    if (dependencies(plans, other) !== dependencies(plans, configuration)) throw sharedData(other, configuration, file);
  }
}

function sharedData(one: Configuration, other: Configuration, file: string): UserError {
  return new UserError({
    doing: "reading the plans",
    file,
    problem: `${one.name} and ${other.name} have the data_identifier ${one.dataIdentifier}, and need different data`,
    remedy: "give one of them another data_identifier",
  });
}

/** Names of the plans in a folder of preprocessed data. */
async function plansIn(folder: string): Promise<string[]> {
  const names = (await filesEndingIn(folder, ".json")).map((name) => name.slice(0, -".json".length));
  return names.filter(isPlansName);
}

/** Of the copy of dataset.json beside the plans, which is made where plans were put there without planning (moved, or copied). */
async function classesOfDataset(
  folder: string,
  { jsonFile, jsonText, json }: RawDataset,
  { onInfo }: PreprocessDatasetOptions,
): Promise<Pick<PreprocessSetting, "keys" | "declared">> {
  const file = join(folder, "dataset.json");
  if (await statOrNull(file, "looking for dataset.json") === null) {
    parseDatasetJson(json, jsonFile); // what can't be read is not copied
    await writeAtomically(file, jsonText, { doing: "copying dataset.json" });
    onInfo?.(`${file} is not there yet: copied from ${jsonFile}`);
  }
  const { value } = await readJsonFile(file, "reading dataset.json (plan_experiment copies it)");
  const { labels } = parseDatasetJson(value, file);
  return { keys: classKeys(labels, value), declared: declaredLabels(labels, file) };
}

async function usableCases(
  dataset: RawDataset,
  failures: UserError[],
): Promise<{ readonly cases: readonly RawCase[]; readonly inputs: ReadonlyMap<string, InputStates> }> {
  const cases: RawCase[] = [];
  const inputs = new Map<string, InputStates>();
  for (const one of dataset.cases) {
    try {
      if (one.images.length === 0) {
        throw new UserError({
          doing: "looking for the case's files",
          caseId: one.id,
          file: join(dataset.folder, "imagesTr"),
          problem: "it has no image named CASE_0000 with a four-digit channel",
          remedy: `name its channels ${one.id}_0000${dataset.fileEnding}, ${one.id}_0001${dataset.fileEnding}, ...`,
        });
      }
      inputs.set(one.id, await inputStates(one));
      cases.push(one);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      failures.push(error);
    }
  }
  return { cases, inputs };
}

async function listJobs(
  cases: readonly RawCase[],
  plans: Plans,
  configurations: readonly Configuration[],
  folders: readonly DataFolder[],
  options: PreprocessDatasetOptions,
  target: string,
  warn: (message: string) => void,
): Promise<SizedJob[]> {
  const jobs: SizedJob[] = [];
  let disk = 0;
  let largest: CaseDisk | undefined;
  for (const one of cases) {
    const open = folders.flatMap((folder, i) => (folder.done.has(one.id) ? [] : [i]));
    if (open.length === 0) continue;
    const forecast = await forecastCase(one, plans, open.map((i) => configurations[i]));
    const bytes = forecast.disk.reduce((sum, bytes) => sum + bytes, 0);
    disk += bytes;
    if (!largest || bytes > largest.bytes) largest = { id: one.id, bytes };
    jobs.push({ job: { case: one, configurations: open }, bytes: forecast.memory, disk: bytes });
  }
  await ensureFolder(target, "making the folder of preprocessed data");
  const doubt = checkFreeDisk(target, disk, options.format === "npz" || options.format === "b2nd", largest);
  if (doubt !== null) warn(doubt);
  return jobs;
}
