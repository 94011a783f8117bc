/**
 * `predict --best`: all that inference_information.json asks for. The predictions of each model, a cascade's first stage among them, go
 * into a hidden folder beside the results; then they are averaged, postprocessed and put in their places.
 */
import { UserError } from "../core/base/errors.ts";
import { copyAtomically, ensureFolder, removeIfThere, writeError } from "../core/base/files.ts";
import { takeLock } from "../core/base/folder_lock.ts";
import { refuseOverwriting } from "../core/base/overwriting.ts";
import { basename, dirname, join } from "../core/base/path.ts";
import { plural } from "../core/base/plural.ts";
import { type BestStage, bestStages } from "../core/choose/best_stages.ts";
import { type BestChoice, readBestChoice } from "../core/choose/inference_information.ts";
import type { DatasetJson } from "../core/dataset/dataset_json.ts";
import { resolveDatasetName } from "../core/dataset/dataset_names.ts";
import { checkOutputs, listInputCases } from "../core/dataset/input_cases.ts";
import { filesEndingIn } from "../core/dataset/raw_dataset.ts";
import { readDatasetJson } from "../core/dataset/read_dataset_json.ts";
import { ensembleFolders } from "../core/ensemble/ensemble_folders.ts";
import { moveBesideLabels } from "../core/formats/image/beside_labels.ts";
import type { ReaderName } from "../core/formats/image/image.ts";
import { mayHoldSeveralChannels } from "../core/formats/image/read_image.ts";
import { takesSeries } from "../core/formats/image/readers.ts";
import { classesOfDataset } from "../core/measure/measured_classes.ts";
import { readPlans } from "../core/plan/read_plans.ts";
import { applyPostprocessing } from "../core/postprocess/apply.ts";
import { readSteps } from "../core/postprocess/postprocessing_file.ts";
import type { PostprocessingStep } from "../core/postprocess/steps.ts";
import { isPredicted, probabilityPaths } from "../core/predict/run/output_folder.ts";
import type { Part } from "./array_part.ts";
import type { CommandContext } from "./commands/command.ts";
import { sayFailedCase } from "./event_log.ts";
import type { PredictValues } from "./flags/predict_flags.ts";
import { asksForMeasuring, checkMesh, checkStatisticsPlace, measureResults, type PredictedCase } from "./measuring.ts";
import { outputFile } from "./plan_cases.ts";
import { failedCase } from "./report.ts";
import { runPrediction } from "./run_prediction.ts";

export interface BestPredictionJob {
  readonly values: PredictValues & { readonly dataset: string };
  readonly part: Part;
  readonly context: CommandContext;
}

/** What is known before the first prediction. */
interface Plan {
  readonly choice: BestChoice;
  readonly stages: readonly BestStage[];
  readonly steps: readonly PostprocessingStep[];
  readonly dataset: DatasetJson;
  readonly reader: ReaderName;
  /** Where the results go. */
  readonly folder: string;
  /** The one result, where -o names a file. */
  readonly file: string | null;
  /** Where the models' predictions go. */
  readonly hidden: string;
  /** Cases of --continue_prediction that are done. */
  readonly done: ReadonlySet<string>;
  /** All cases and their results; those of this process. */
  readonly all: readonly PredictedCase[];
  readonly own: readonly PredictedCase[];
  /** True: those are all there are. */
  readonly isDone: boolean;
}

/** Predicts; true if every case is done. @throws UserError, Interrupted: the hidden folder is left then, for --continue_prediction */
export async function runBestPrediction(job: BestPredictionJob): Promise<boolean> {
  const { values, context } = job;
  const plan = await preparePlan(job);
  const say = (text: string) => values.quiet ? undefined : context.print(text);
  const names = plan.choice.models.map(({ configuration }) => configuration).join(" and ");
  const steps = plan.steps.length === 0
    ? "no postprocessing"
    : `${plural(plan.steps.length, "step")} of postprocessing`;
  say(`best: ${names}, folds ${plan.choice.folds.join(" ")}, ${steps}`);
  if (plan.isDone) {
    say("nothing is left to do: all cases are predicted");
    return await measure(job, plan);
  }
  await ensureFolder(plan.folder, "making the output folder");
  using _lock = takeLock(`${plan.hidden}.lock`, {
    doing: "predicting with the best configuration",
    problem: "another run is predicting into this folder at this moment",
    remedy: "wait until it ends, stop it, or name another folder with -o",
  });
  if (!values.continuePrediction) await removeHidden(plan);
  let isComplete = true;
  for (const stage of plan.stages) if (!(await predictStage(job, plan, stage))) isComplete = false;
  const predicted = await combine(job, plan);
  const result = await postprocess(job, plan, predicted.folder);
  await put(plan, predicted.folder, result.folder, values.saveProbabilities);
  await removeHidden(plan);
  say(
    `${plural(result.cases, "case")} with the best configuration: ${values.output}` +
      (plan.steps.length > 0 ? ` (${result.changed} changed by postprocessing)` : ""),
  );
  return await measure(job, plan) && isComplete && predicted.isComplete && result.isComplete;
}

/** @returns whether all could be measured */
async function measure({ values, part, context }: BestPredictionJob, plan: Plan): Promise<boolean> {
  if (!asksForMeasuring(values)) return true;
  const { all, own, dataset, reader, file, folder } = plan;
  const failed = await measureResults(values, {
    cases: own,
    all,
    fileEnding: dataset.fileEnding,
    reader,
    classes: classesOfDataset(dataset),
    channelNames: dataset.channelNames,
    ...(file === null && { records: folder }),
    isShared: part.parts > 1,
    share: false,
  }, context);
  return failed.length === 0;
}

async function preparePlan({ values, part, context }: BestPredictionJob): Promise<Plan> {
  const { folders } = context.environment;
  const choice = await readBestChoice(await resolveDatasetName(values.dataset, folders), folders);
  const stages = await bestStages(choice, folders);
  const steps = await readSteps(choice.postprocessingFile);
  const [{ folder: model }] = choice.models;
  const dataset = await readDatasetJson(join(model, "dataset.json"));
  const { reader } = await readPlans(join(model, "plans.json"));
  const { fileEnding, channelNames } = dataset;
  const file = await outputFile(values.output, fileEnding);
  const folder = file === null ? values.output : dirname(file);
  const listing = await listInputCases(values.input, {
    fileEnding,
    channelNames,
    severalChannelsPerFile: (one) => mayHoldSeveralChannels(reader, one),
    ...(takesSeries(reader) && { series: values.series ?? [] }),
  });
  const count = listing.cases.length + listing.failures.length;
  await checkStatisticsPlace(values, [values.input, ...stages.map((stage) => stage.folder)]);
  checkMesh(values, reader);
  const error = { doing: "choosing the output files", remedy: "name another folder with -o" };
  if (file !== null && count > 1) {
    const problem = `two inputs for one output: -o is one file, and ${values.input} holds ${count} cases`;
    throw new UserError({ ...error, file, problem });
  }
  const outputs = listing.cases.map(({ id }) => file ?? join(folder, `${id}${fileEnding}`));
  checkOutputs(listing.cases, outputs);
  refuseOverwriting(
    listing.cases.flatMap(({ files }) => files.map((path) => ({ path, what: "an input image" }))),
    outputs.map((path) => ({ path, what: "the result" })),
    error,
  );
  if (file === null) {
    const models = stages.map((stage) => ({ path: stage.folder, what: "a model's folder" }));
    const inputs = [...models, { path: values.input, what: "the folder of the images" }];
    refuseOverwriting(inputs, [{ path: folder, what: "the output folder" }], error);
  }
  const done = new Set<string>();
  for (const [i, one] of listing.cases.entries()) {
    const wanted = { ...one, output: outputs[i] };
    if (values.continuePrediction && await isPredicted(wanted, fileEnding, values.saveProbabilities)) done.add(one.id);
  }
  const all = listing.cases.map((one, i) => ({ ...one, output: outputs[i] }));
  const ids = new Set([
    ...listing.cases.map(({ id }) => id),
    ...listing.failures.map(({ parts }) => parts.caseId ?? ""),
  ]);
  const ownIds = new Set([...ids].sort((a, b) => a < b ? -1 : 1).filter((_, i) => i % part.parts === part.part));
  const share = part.parts > 1 ? `-${part.part}-of-${part.parts}` : "";
  const hidden = join(folder, `.nnunet-best${file === null ? "" : `-${basename(file)}`}${share}`);
  return {
    choice,
    stages,
    steps,
    dataset,
    reader,
    folder,
    file,
    hidden,
    done,
    all,
    own: all.filter(({ id }) => ownIds.has(id)),
    isDone: count > 0 && done.size === count,
  };
}

async function predictStage({ values, part, context }: BestPredictionJob, plan: Plan, stage: BestStage) {
  const { report } = values;
  return await runPrediction({
    values: {
      ...values,
      output: join(plan.hidden, stage.id),
      folds: plan.choice.folds.map(String),
      previousStage: stage.previous === undefined ? undefined : join(plan.hidden, stage.previous),
      saveProbabilities: stage.isMember && (plan.choice.models.length > 1 || values.saveProbabilities),
      report: report === undefined || plan.stages.length === 1
        ? report
        : report.replace(/\.json$/i, `.${stage.configuration}$&`),
      // Of the results, once they are there.
      statistics: undefined,
      mesh: undefined,
    },
    part,
    context,
    findModel: () => Promise.resolve(stage.folder),
    leaveOut: plan.done,
  });
}

/** The models' predictions as one. */
async function combine({ values, context }: BestPredictionJob, plan: Plan) {
  const folders = plan.stages.filter(({ isMember }) => isMember).map(({ id }) => join(plan.hidden, id));
  if (folders.length === 1) return { folder: folders[0], isComplete: true };
  const output = join(plan.hidden, "ensemble");
  // What one of the models could not predict has been told.
  const found: Set<string>[] = [];
  for (const folder of folders) found.push(new Set(await filesEndingIn(folder, ".npz")));
  const cases = [...found[0]].filter((name) => found.every((names) => names.has(name)))
    .map((name) => name.slice(0, -".npz".length));
  if (cases.length === 0) return { folder: output, isComplete: true };
  const { failed } = await ensembleFolders({
    folders,
    output,
    cases,
    saveProbabilities: values.saveProbabilities,
    threads: values.threads,
    maxMemory: values.maxMemory,
    signal: context.signal,
    onCase: context.count("cases averaged", "bar"),
    onWarning: context.warn,
  });
  for (const failure of failed) sayFailedCase(failure, context);
  return { folder: output, isComplete: failed.length === 0 };
}

async function postprocess({ values, context }: BestPredictionJob, plan: Plan, input: string) {
  const { steps, reader, dataset: { fileEnding } } = plan;
  const cases = (await filesEndingIn(input, fileEnding)).length;
  if (steps.length === 0 || cases === 0) return { folder: input, cases, changed: 0, isComplete: true };
  const folder = join(plan.hidden, "postprocessed");
  const { failed, changedCases } = await applyPostprocessing({
    input,
    output: folder,
    fileEnding,
    reader,
    steps,
    threads: values.threads,
    maxMemory: values.maxMemory,
    signal: context.signal,
    onCase: context.count("cases postprocessed", "bar"),
  });
  for (const { error } of failed) sayFailedCase(failedCase(error), context);
  return { folder, cases: cases - failed.length, changed: changedCases, isComplete: failed.length === 0 };
}

/** Gives the results their places; the segmentation of a case comes last. */
async function put(plan: Plan, predicted: string, result: string, saveProbabilities: boolean): Promise<void> {
  const { folder, file, dataset: { fileEnding } } = plan;
  const names = await filesEndingIn(result, fileEnding);
  if (file === null && names.length > 0) {
    for (const name of ["dataset.json", "plans.json"]) {
      await copyAtomically(join(predicted, name), join(folder, name), { doing: "writing the results" });
    }
  }
  for (const name of names) {
    const output = file ?? join(folder, name);
    if (saveProbabilities) {
      const [from, to] = [join(predicted, name), output].map((path) => probabilityPaths(path, fileEnding));
      await move(from.npz, to.npz);
      await move(from.pkl, to.pkl);
    }
    await moveBesideLabels(join(result, name), output, { doing: "writing the results" });
    await move(join(result, name), output);
  }
}

async function move(from: string, to: string): Promise<void> {
  try {
    await Deno.rename(from, to);
  } catch (error) {
    throw writeError(error, to, "writing the results");
  }
}

async function removeHidden({ hidden }: Plan): Promise<void> {
  await removeIfThere(hidden, "removing the models' predictions", { recursive: true });
}
