/**
 * How far one fold of a configuration is, seen from its folder: checkpoints, validation, the next stage's inputs; and what of it is no
 * longer what is asked for, as plans, labels, cases, split or settings have changed since.
 */
import { UserError } from "../base/errors.ts";
import { isLocked } from "../base/folder_lock.ts";
import { join } from "../base/path.ts";
import { plural } from "../base/plural.ts";
import { statOrNull } from "../base/stat_or_null.ts";
import { parseDatasetJson } from "../dataset/read_dataset_json.ts";
import { readScores } from "../evaluate/read_summary.ts";
import type { CheckpointFile } from "../formats/torch/torch_checkpoint.ts";
import type { Configuration } from "../plan/plans.ts";
import { parsePlans, resolveConfiguration } from "../plan/read_plans.ts";
import { classKeys } from "../preprocess/class_locations.ts";
import { dependencies, dependencyDifferences, keyDifferences } from "../preprocess/data_setting.ts";
import { previousStageFiles } from "../preprocess/predicted_previous_stage.ts";
import { recipeDifferences } from "../train/prepare_training.ts";
import { readTrainedSummary, type TrainedSummary } from "../train/read_checkpoint.ts";
import { expectSplit, type Split } from "../train/splits.ts";
import { CHECKPOINTS, openLastCheckpoint, TRAINING_LOCK } from "../train/training_folder.ts";
import { type Experiment, type FoldTask, modelIdOf } from "./experiment.ts";

export type FoldProgress =
  /** Nothing of it is there. */
  | { readonly kind: "left" }
  /** Something is there that can't be gone on from: training it refuses with what to do. */
  | { readonly kind: "unusable"; readonly problem: string }
  /** Epochs that are finished, and of how many. */
  | { readonly kind: "training"; readonly epoch: number; readonly epochs: number }
  /** Trained, and not validated, or not with all that is needed. */
  | { readonly kind: "validation" }
  /** Its validation's mean foreground Dice. */
  | { readonly kind: "done"; readonly dice: number };

export interface FoldState {
  readonly task: FoldTask;
  readonly folder: string;
  readonly progress: FoldProgress;
  /** Another process trains it. */
  readonly isBusy: boolean;
  /** Why what is there is not what is asked for, in words. */
  readonly stale: readonly string[];
  /** Seconds of its recent epochs, and of its validation, where they are known. */
  readonly epochSeconds?: number;
  readonly validationSeconds?: number;
  /** Seconds since 1970: when its first epoch began and the last one ended. */
  readonly begun?: number;
  readonly ended?: number;
}

/** Epochs the time of one is taken from. */
const RECENT = 10;

/** States of all tasks. @throws UserError if the split can't be read, or does not have a fold */
export async function lookAtFolds(experiment: Experiment): Promise<FoldState[]> {
  const states: FoldState[] = [];
  for (const task of experiment.tasks) states.push(await lookAtFold(experiment, task));
  return states.map((state) => withEarlierStage(state, states, experiment));
}

/** The folder of a configuration's model. */
function modelFolderOf(experiment: Experiment, configuration: string): string {
  return join(experiment.results, modelIdOf(experiment, configuration));
}

/** @throws UserError as {@link lookAtFolds} */
export async function lookAtFold(experiment: Experiment, task: FoldTask): Promise<FoldState> {
  const { preprocessed, raw, randomSplit } = experiment;
  const modelFolder = modelFolderOf(experiment, task.configuration);
  const folder = join(modelFolder, `fold_${task.fold}`);
  const split = await expectSplit(preprocessed, raw.cases.map(({ id }) => id), task.fold, randomSplit);
  const isBusy = isLocked(join(folder, TRAINING_LOCK)) || isLocked(claimOf(experiment, task));
  const nothing: FoldState = { task, folder, progress: { kind: "left" }, isBusy, stale: [] };
  try {
    using last = await openLastCheckpoint(folder);
    if (!last) return nothing;
    const { checkpoint, isFinal } = last;
    const trained = readTrainedSummary(checkpoint);
    const validation = isFinal ? await lookAtValidation(experiment, modelFolder, folder, task, split) : undefined;
    const epochs = (trained.recipe ?? experiment.recipe).epochs;
    return {
      ...nothing,
      progress: validation?.progress ?? { kind: "training", epoch: trained.epoch, epochs },
      stale: [
        ...madeOfOther(experiment, task, checkpoint, trained),
        ...changedCases(experiment, split, trained),
        ...validation?.stale ?? [],
      ],
      ...timesOf(trained),
      ...(validation?.seconds !== undefined && { validationSeconds: validation.seconds }),
    };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return { ...nothing, progress: { kind: "unusable", problem: error.parts.problem } };
  }
}

/** The lock that a run has on a fold from when it chooses it. */
export function claimOf(experiment: Experiment, { configuration, fold }: FoldTask): string {
  return join(experiment.results, `.${modelIdOf(experiment, configuration)}-fold_${fold}.lock`);
}

function timesOf({ times }: TrainedSummary): Pick<FoldState, "begun" | "ended" | "epochSeconds"> {
  const [first] = times;
  const last = times.at(-1);
  if (!first || !last) return {};
  const recent = times.slice(-RECENT);
  const seconds = recent.reduce((sum, { start, end }) => sum + end - start, 0) / recent.length;
  return { begun: first.start, ended: last.end, epochSeconds: seconds };
}

/** What of plans, labels and settings is other than when the training began. */
function madeOfOther(
  { plans, dataset, recipe, changes, seed }: Experiment,
  { configuration }: FoldTask,
  { initArgs, file }: CheckpointFile,
  trained: TrainedSummary,
): string[] {
  const stale: string[] = [];
  const args = initArgs as { readonly plans?: unknown; readonly dataset_json?: unknown } | null;
  const now = resolveConfiguration(plans, configuration);
  const then = tryTo(() => {
    const plansThen = parsePlans(args?.plans, file);
    return { plans: plansThen, configuration: resolveConfiguration(plansThen, configuration) };
  });
  if (then) {
    stale.push(...dependencyDifferences(dependencies(then.plans, then.configuration), dependencies(plans, now)));
    stale.push(...networkDifferences(then.configuration, now));
  }
  const datasetThen = tryTo(() => parseDatasetJson(args?.dataset_json, file));
  if (datasetThen) {
    const keysOf = ({ labels, json }: typeof dataset) => classKeys(labels, json);
    stale.push(...keyDifferences(keysOf(datasetThen), keysOf(dataset)));
  }
  if (trained.recipe) {
    const asked = { changes, ...(seed !== undefined && { seed }) };
    stale.push(
      ...recipeDifferences(asked, recipe, trained.recipe, trained.seed).map((text) => `it is asked for ${text}`),
    );
  }
  return stale;
}

/** Of another program's checkpoint there may be nothing to compare with. */
function tryTo<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof UserError) return undefined;
    throw error;
  }
}

function networkDifferences(then: Configuration, now: Configuration): string[] {
  const fields = {
    patch_size: [then.patchSize, now.patchSize],
    batch_size: [then.batchSize, now.batchSize],
    batch_dice: [then.batchDice, now.batchDice],
    architecture: [then.architecture, now.architecture],
    previous_stage: [then.previousStage, now.previousStage],
  };
  return Object.entries(fields).filter(([, [a, b]]) => JSON.stringify(a) !== JSON.stringify(b)).map(([name, [a, b]]) =>
    name === "architecture"
      ? "the plans' architecture is another"
      : `the plans' ${name} was ${JSON.stringify(a)} and is ${JSON.stringify(b)}`
  );
}

/** Cases whose raw files are newer than the training. */
function changedCases({ inputs }: Experiment, { train, val }: Split, { times }: TrainedSummary): string[] {
  const begun = times.at(0)?.start;
  if (begun === undefined) return [];
  const changed = [...new Set([...train, ...val])].filter((id) =>
    inputs.get(id)?.some(([, , time]) => time > 1000 * begun)
  );
  if (changed.length === 0) return [];
  const names = changed.slice(0, 5).join(", ") + (changed.length > 5 ? ", ..." : "");
  return [`files of ${plural(changed.length, "case")} are newer than its training: ${names}`];
}

interface Validation {
  readonly progress: FoldProgress;
  readonly stale: readonly string[];
  /** From the final checkpoint to the summary. */
  readonly seconds?: number;
}

async function lookAtValidation(
  { raw, configurations, saveProbabilities }: Experiment,
  modelFolder: string,
  foldFolder: string,
  { configuration }: FoldTask,
  { val }: Split,
): Promise<Validation> {
  const folder = join(foldFolder, "validation");
  const doing = "looking at the validation";
  const final = await statOrNull(join(foldFolder, CHECKPOINTS.final), doing);
  const since = final?.mtime?.getTime() ?? 0;
  const isThere = async (file: string) => {
    const stat = await statOrNull(file, doing);
    return stat !== null && (stat.mtime?.getTime() ?? since) >= since;
  };
  const left: Validation = { progress: { kind: "validation" }, stale: [] };
  const summary = join(folder, "summary.json");
  if (!await isThere(summary)) return left;
  const scores = await readScores(summary, raw.fileEnding).catch((error: unknown) => {
    if (error instanceof UserError) return undefined;
    throw error;
  });
  if (!scores) return left;
  const isSame = scores.cases.length === val.length && val.every((id) => scores.cases.includes(id));
  if (!isSame) return { ...left, stale: ["the cases it was validated on are not those of its fold now"] };
  const next = configurations.filter(({ previousStage }) => previousStage === configuration).map(({ name }) => name);
  for (const id of val) {
    const files = [
      ...[raw.fileEnding, ...saveProbabilities ? [".npz", ".pkl"] : []].map((ending) => join(folder, `${id}${ending}`)),
    ];
    for (const file of files) if (!await isThere(file)) return left;
    for (const name of next) {
      const either = previousStageFiles(join(modelFolder, "predicted_next_stage", name), id);
      if (!(await Promise.all(either.map(isThere))).includes(true)) return left;
    }
  }
  const end = (await statOrNull(summary, doing))?.mtime?.getTime();
  return {
    progress: { kind: "done", dice: scores.foregroundDice },
    stale: [],
    ...(end !== undefined && end > since && { seconds: (end - since) / 1000 }),
  };
}

/** A stage that was trained on predictions which a later training has replaced. */
function withEarlierStage(state: FoldState, states: readonly FoldState[], { configurations }: Experiment): FoldState {
  const { begun, task } = state;
  const previous = configurations.find(({ name }) => name === task.configuration)?.previousStage;
  if (previous === undefined || begun === undefined) return state;
  const later = states.filter(({ task, ended, progress }) => {
    if (task.configuration !== previous) return false;
    return (ended !== undefined && ended > begun) || (progress.kind !== "done" && progress.kind !== "validation");
  });
  if (later.length === 0) return state;
  const folds = later.map(({ task }) => task.fold).join(", ");
  const text = `it is trained on the predictions of ${previous}, and fold ${folds} of that is, or will be, a later one`;
  return { ...state, stale: [...state.stale, text] };
}
