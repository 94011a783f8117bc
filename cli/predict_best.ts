/**
 * `predict --best`: all that inference_information.json asks for. The predictions of each model, a cascade's first stage among them, go
 * into a hidden folder beside the results; then they are averaged, postprocessed and put in their places.
 */
import { UserError } from "../core/base/errors.ts";
import { ensureFolder, removeIfThere } from "../core/base/files.ts";
import { takeLock } from "../core/base/folder_lock.ts";
import { refuseOverwriting } from "../core/base/overwriting.ts";
import { basename, dirname, join } from "../core/base/path.ts";
import { plural } from "../core/base/plural.ts";
import { type BestStage, bestStages } from "../core/choose/best_stages.ts";
import { type BestChoice, readBestChoice } from "../core/choose/inference_information.ts";
import type { DatasetJson } from "../core/dataset/dataset_json.ts";
import { resolveDatasetName } from "../core/dataset/dataset_names.ts";
import { checkOutputs, expectedInput, listInputCases } from "../core/dataset/input_cases.ts";
import { filesEndingIn } from "../core/dataset/raw_dataset.ts";
import { readDatasetJson } from "../core/dataset/read_dataset_json.ts";
import { ensembleFolders } from "../core/ensemble/ensemble_folders.ts";
import type { ReaderName } from "../core/formats/image/image.ts";
import { classesOfDataset } from "../core/measure/measured_classes.ts";
import { readPlans } from "../core/plan/read_plans.ts";
import { applyPostprocessing } from "../core/postprocess/apply.ts";
import { readSteps } from "../core/postprocess/postprocessing_file.ts";
import type { PostprocessingStep } from "../core/postprocess/steps.ts";
import type { ObjectDetails } from "../core/predict/run/case_outputs.ts";
import { isPredicted } from "../core/predict/run/output_folder.ts";
import type { CaseToPredict } from "../core/predict/run/request.ts";
import type { Part } from "./array_part.ts";
import type { CommandContext } from "./commands/command.ts";
import { sayFailedCase } from "./event_log.ts";
import type { PredictValues } from "./flags/predict_flags.ts";
import { asksForMeasuring, checkMesh, checkStatisticsPlace, measureResults } from "./measuring.ts";
import { filesToWrite, objectDetails, outputNames, refuseSlices, withoutSource } from "./output_files.ts";
import { failedCase } from "./report.ts";
import { putResults } from "./put_results.ts";
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
  readonly all: readonly CaseToPredict[];
  readonly own: readonly CaseToPredict[];
  /** What DICOM files are to say. */
  readonly details?: ObjectDetails;
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
  const unwritten = await putResults({
    result: result.folder,
    predicted: predicted.folder,
    ...(plan.file === null && { folder: plan.folder }),
    fileEnding: plan.dataset.fileEnding,
    reader: plan.reader,
    cases: plan.all,
    ...(plan.details && { details: plan.details }),
    saveProbabilities: values.saveProbabilities,
    maxMemory: values.maxMemory,
    signal: context.signal,
  });
  for (const error of unwritten) sayFailedCase(failedCase(error), context);
  await removeHidden(plan);
  say(
    `${plural(result.cases, "case")} with the best configuration: ${values.output}` +
      (plan.steps.length > 0 ? ` (${result.changed} changed by postprocessing)` : ""),
  );
  const isWritten = unwritten.length === 0 && isComplete && predicted.isComplete && result.isComplete;
  return await measure(job, plan) && isWritten;
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
  const plans = await readPlans(join(model, "plans.json"));
  const { reader } = plans;
  const { fileEnding } = dataset;
  const names = await outputNames(values, fileEnding, reader);
  const { file } = names;
  const folder = file === null ? values.output : dirname(file);
  const listing = await listInputCases(values.input, expectedInput(dataset, reader, values.series));
  const count = listing.cases.length + listing.failures.length;
  await checkStatisticsPlace(values, [values.input, ...stages.map((stage) => stage.folder)]);
  checkMesh(values, reader);
  const error = { doing: "choosing the output files", remedy: "name another folder with -o" };
  if (file !== null && count > 1) {
    const problem = `two inputs for one output: -o is one file, and ${values.input} holds ${count} cases`;
    throw new UserError({ ...error, file, problem });
  }
  const all = listing.cases.map((one) => ({ ...one, ...names.of(one.id) }));
  const outputs = all.map(filesToWrite);
  for (const i of outputs[0]?.keys() ?? []) checkOutputs(listing.cases, outputs.map((files) => files[i]));
  for (const error of withoutSource(all, values).values()) throw error;
  refuseOverwriting(
    listing.cases.flatMap(({ files }) => files.map((path) => ({ path, what: "an input image" }))),
    outputs.flat().map((path) => ({ path, what: "the result" })),
    error,
  );
  await refuseSlices(all);
  if (file === null) {
    const models = stages.map((stage) => ({ path: stage.folder, what: "a model's folder" }));
    const inputs = [...models, { path: values.input, what: "the folder of the images" }];
    refuseOverwriting(inputs, [{ path: folder, what: "the output folder" }], error);
  }
  const { datasetName } = plans;
  const name = `${datasetName}, ${choice.models.map(({ configuration }) => configuration).join(" and ")}`;
  const details = await objectDetails(values, dataset, { dataset: datasetName, name }, context.warn);
  const done = new Set<string>();
  for (const one of all) {
    if (values.continuePrediction && await isPredicted(one, fileEnding, values.saveProbabilities)) done.add(one.id);
  }
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
    ...(details && { details }),
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
      outputFormats: undefined,
      segmentCodes: undefined,
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

async function removeHidden({ hidden }: Plan): Promise<void> {
  await removeIfThere(hidden, "removing the models' predictions", { recursive: true });
}
