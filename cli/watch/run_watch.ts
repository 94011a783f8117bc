/** A watched folder from checked flags to the end: model, folders, engine; then look after look until it is told to end. */
import { Interrupted, UserError } from "../../core/base/errors.ts";
import { ensureFolder } from "../../core/base/files.ts";
import { refuseOverwriting } from "../../core/base/overwriting.ts";
import { join } from "../../core/base/path.ts";
import { plural } from "../../core/base/plural.ts";
import { statOrNull } from "../../core/base/stat_or_null.ts";
import { expectedInput } from "../../core/dataset/input_cases.ts";
import { isDicomFile } from "../../core/formats/dicom/read_dicom_file.ts";
import { imageEnding, takesSeries } from "../../core/formats/image/readers.ts";
import { type Model, openModel } from "../../core/predict/model/model_folder.ts";
import { refersToSource } from "../../core/predict/run/output_formats.ts";
import { writeRunFiles } from "../../core/predict/run/output_folder.ts";
import { refuseOtherRun } from "../../core/predict/run/shared_run.ts";
import type { CommandContext } from "../commands/command.ts";
import { firstStageOf, lacksFirstStage, removeFirstStages } from "../engines/cascade.ts";
import { openResident } from "../engines/resident.ts";
import { sayFailedCase } from "../event_log.ts";
import { wantedGpus } from "../engines/wanted_gpus.ts";
import { engineWish } from "../engines/select_engine.ts";
import { foldName } from "../flags/forms.ts";
import type { WatchValues } from "../flags/watch_flags.ts";
import { checkMesh } from "../measuring.ts";
import { objectDetails, outputNames } from "../output_files.ts";
import { createPredictionProgress } from "../prediction_progress.ts";
import { describeModel } from "../run_prediction.ts";
import { createSettling, listArrivals, type LookedAt, stateOf, type WatchedFolder } from "./arrivals.ts";
import { caseTexts } from "./case_texts.ts";
import { type CaseWorker, createCaseWorker, type Tally, type WatchFolders } from "./do_cases.ts";

/** Cases of a group for each engine: claimed at once, so that the next one is read while the network runs; others are for other watchers. */
const MOST = 4;
const DOING = "watching the folder";

/**
 * Watches; with `--once` true if no case has failed.
 * @throws UserError before the first look for whatever would not work
 */
export async function runWatch(values: WatchValues, context: CommandContext): Promise<boolean> {
  const { signal, warn } = context;
  const say = (line: string) => {
    if (!values.quiet) context.print(line);
  };
  using model = await openModel(values.modelFolder, {
    folds: values.folds.map(foldName),
    checkpointName: values.checkpoint,
    assumePlansNetwork: values.assumePlansNetwork,
  });
  using firstStage = await openFirstStage(values, model);
  for (const one of firstStage ? [firstStage.model, model] : [model]) say(describeModel(one));
  const { dataset, plans } = model;
  checkMesh(values, plans.reader);
  const names = await outputNames(values, dataset.fileEnding, plans.reader);
  if (names.file !== null) {
    throw new UserError({ doing: DOING, file: names.file, problem: "OUT names a file; a folder is needed" });
  }
  const folders = await openFolders(values, model);
  const about = { dataset: plans.datasetName, name: `${plans.datasetName}, ${model.configuration.name}` };
  const details = await objectDetails(values, dataset, about, warn);
  await noteRun(values, model);
  const gpus = await wantedGpus(values, { warn, event: context.event });
  await using resident = await openResident({
    wish: engineWish(values),
    ...(gpus && { gpus }),
    ...(values.maxMemory !== undefined && { maxMemory: values.maxMemory }),
    hooks: { say, warn },
    onFailure: (failure) => context.event?.("gpu_failed", { ...failure }),
  });
  const { kept, places, engine: { description, reason } } = resident;
  say(`engine: ${description}${reason ? ` (${reason})` : ""}`);
  const watched: WatchedFolder = {
    folder: values.input,
    fileEnding: dataset.fileEnding,
    channels: dataset.channelNames.length,
    takesFolders: takesSeries(plans.reader),
    apart: await realPaths([
      folders.output,
      folders.done,
      folders.failed,
      values.report,
      values.statistics,
      model.folder,
      firstStage?.model.folder,
    ]),
  };
  const texts = caseTexts(values, model, resident, context);
  const settling = createSettling(values.settle * 1000);
  using worker = createCaseWorker({
    folders,
    stages: { kept, model, ...(firstStage && { firstStage: firstStage.model }), output: folders.output },
    texts,
    expected: expectedInput(dataset, plans.reader, values.series),
    names,
    refersToSource: values.outputFormats?.some(refersToSource) ?? false,
    details,
    options: { ...optionsOf(values), checksums: texts.reports },
    most: MOST * places,
    settling,
    once: values.once,
    show: createPredictionProgress(context, {
      quiet: values.quiet,
      verbose: values.verbose,
      bar: !values.disableProgressBar,
    }),
    say,
    context,
  });
  if (context.event) context.event("watching", { input: folders.input, output: folders.output });
  else say(`watching ${folders.input}`);
  await watch({ values, watched, worker, settling, context });
  say(ending(worker.tally, signal.aborted));
  return !values.once || worker.tally.failed === 0;
}

/** The model that a cascade's second stage needs. @throws UserError if it is not given, is another one, or is not needed */
async function openFirstStage(
  { firstStage, folds, checkpoint, assumePlansNetwork }: WatchValues,
  model: Model,
): Promise<(Disposable & { readonly model: Model }) | undefined> {
  const { configuration } = model;
  if (firstStage === undefined) {
    if (configuration.previousStage === undefined) return undefined;
    throw lacksFirstStage(model, DOING, "--first-stage");
  }
  if (configuration.previousStage === undefined) {
    throw new UserError({
      doing: DOING,
      file: firstStage,
      problem: `--first-stage is for a cascade's second stage, and ${configuration.name} is none`,
      remedy: "leave it out",
    });
  }
  const first = await openModel(firstStage, {
    folds: folds.map(foldName),
    checkpointName: checkpoint,
    assumePlansNetwork,
  });
  if (firstStageOf(model, [first])) return { model: first, [Symbol.dispose]: () => first[Symbol.dispose]() };
  first[Symbol.dispose]();
  throw new UserError({
    doing: DOING,
    file: firstStage,
    problem: `it is ${first.configuration.name} of ${first.plans.datasetName}, ${first.plans.plansName}; the second ` +
      `stage needs ${configuration.previousStage} of ${model.plans.datasetName}, ${model.plans.plansName}`,
    remedy: "name that model's folder",
  });
}

function optionsOf(values: WatchValues) {
  return {
    stepSize: values.stepSize,
    mirroring: !values.disableTta,
    saveProbabilities: values.saveProbabilities,
    nonFinite: values.nonFinite ?? "refuse",
  } as const;
}

function ending({ done, failed }: Tally, isStopped: boolean): string {
  return `${isStopped ? "stopped" : "ended"}: ${plural(done, "case")} predicted, ${failed} failed`;
}

interface Watch {
  readonly values: WatchValues;
  readonly watched: WatchedFolder;
  readonly worker: CaseWorker;
  readonly settling: ReturnType<typeof createSettling>;
  readonly context: CommandContext;
}

/** Looks, works and waits until it is told to end, or with `--once` what was there is done. */
async function watch({ values, watched, worker, settling, context }: Watch): Promise<void> {
  const { signal, warn } = context;
  const sayStrange = strangeFiles(watched, warn);
  const sayClosed = closedCases(values, worker.tally, context);
  const settleMs = values.settle * 1000;
  let first: { readonly ids: ReadonlySet<string>; readonly end: number } | undefined;
  let lastProblem = "";
  while (!signal.aborted) {
    const lookedAt = performance.now();
    let hasWorked = false;
    try {
      const { looked, strange, closed } = await look(watched, worker);
      lastProblem = "";
      await sayStrange(strange);
      sayClosed(closed);
      const there = values.once && first ? looked.filter(({ arrival }) => first?.ids.has(arrival.id)) : looked;
      const settled = settling.settled(there);
      first ??= { ids: new Set(there.map(({ arrival }) => arrival.id)), end: performance.now() + settleMs };
      hasWorked = await worker.work(settled);
    } catch (error) {
      if (error instanceof Interrupted) return;
      if (values.once || !(error instanceof Unreadable)) throw error;
      // A share that is away for a while.
      if (error.message !== lastProblem) warn(`${error.message} It is looked at again every ${values.poll} s.`);
      lastProblem = error.message;
    }
    if (hasWorked) continue;
    const left = (first?.end ?? 0) - lookedAt;
    if (values.once && left <= 0) return;
    await sleep(values.once ? Math.min(values.poll * 1000, left + 1) : values.poll * 1000, signal);
  }
}

/** Of the watched folder itself. */
class Unreadable extends UserError {}

async function look(watched: WatchedFolder, worker: CaseWorker) {
  try {
    await requireFolder(watched.folder);
    const { arrivals, strange } = await listArrivals(watched);
    const looked: LookedAt[] = [];
    const closed: UserError[] = [];
    for (const arrival of arrivals) {
      // Without a look at each file of what is done, of which there may be many.
      if (await worker.isLeft(arrival)) continue;
      try {
        looked.push({ arrival, state: await stateOf(arrival) });
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        closed.push(error.withCase(arrival.id));
      }
    }
    return { looked, strange, closed };
  } catch (error) {
    throw error instanceof UserError ? new Unreadable(error.parts) : error;
  }
}

async function requireFolder(folder: string): Promise<void> {
  const stat = await statOrNull(folder, DOING);
  if (stat?.isDirectory) return;
  const problem = stat ? "it is a file; a folder is needed" : "there is no such folder";
  throw new UserError({ doing: DOING, file: folder, problem, remedy: "give the folder that images arrive in" });
}

/** Tells once of each case whose images can't be looked at, which is no other's matter; with --once it has failed. */
function closedCases({ once, poll }: WatchValues, tally: Tally, context: CommandContext) {
  let known: ReadonlySet<string> = new Set();
  return (errors: readonly UserError[]) => {
    for (const { message, parts: { caseId: id = "", ...parts } } of errors) {
      if (known.has(message)) continue;
      if (!once) context.warn(`${message} It is looked at again every ${poll} s.`);
      else {
        tally.failed++;
        sayFailedCase({ id, error: parts, message }, context);
      }
    }
    known = new Set(errors.map(({ message }) => message));
  };
}

/** Warns once of each image that is none of the model's. */
function strangeFiles({ folder, fileEnding, takesFolders }: WatchedFolder, warn: (line: string) => void) {
  let known: ReadonlySet<string> = new Set();
  const isImage = async (name: string) =>
    imageEnding(name.toLowerCase()) !== undefined ||
    (takesFolders && await isDicomFile(join(folder, name)).catch(() => false));
  return async (names: readonly string[]) => {
    const images: string[] = [];
    for (const name of names) if (!known.has(name) && await isImage(name)) images.push(name);
    known = new Set(names);
    if (images.length === 0) return;
    warn(
      `${plural(images.length, "file")} in ${folder} (${images.slice(0, 3).join(", ")}${
        images.length > 3 ? ", ..." : ""
      }) ` +
        `${images.length === 1 ? "is" : "are"} left out: the model takes names that end in ${fileEnding}` +
        (takesFolders ? ", and a folder of DICOM for each case" : ""),
    );
  };
}

/** Makes the folders that are written to. @throws UserError if one is another one, or can't be made */
async function openFolders(values: WatchValues, model: Model): Promise<WatchFolders> {
  const { input, output, done, failed, report, statistics } = values;
  await requireFolder(input);
  const error = { doing: DOING, remedy: "name another folder" };
  const places = [
    { path: model.folder, what: "the model's folder" },
    { path: input, what: "the watched folder" },
    { path: output, what: "the folder of the segmentations" },
    ...(done === undefined ? [] : [{ path: done, what: "the folder of what is done" }]),
    ...(failed === undefined ? [] : [{ path: failed, what: "the folder of what has failed" }]),
  ];
  for (const { path } of places.slice(2)) await ensureFolder(path, "making the folder");
  for (const i of places.keys()) refuseOverwriting(places.slice(0, i), places.slice(i, i + 1), error);
  // These may be any but the first two.
  for (const [path, what] of [[report, "the folder of the reports"], [statistics, "the folder of the statistics"]]) {
    if (path === undefined || what === undefined) continue;
    await ensureFolder(path, "making the folder");
    refuseOverwriting(places.slice(0, 2), [{ path, what }], error);
  }
  await removeFirstStages(output);
  return { input, output, ...(done !== undefined && { done }), ...(failed !== undefined && { failed }) };
}

/** What predict leaves beside the cases. @throws UserError if the folder has cases of another model or other settings */
async function noteRun(values: WatchValues, model: Model): Promise<void> {
  const { input, output, saveProbabilities } = values;
  const args = {
    list_of_lists_or_source_folder: input,
    output_folder_or_list_of_truncated_output_files: output,
    save_probabilities: saveProbabilities,
    overwrite: false,
    num_processes_preprocessing: 3,
    num_processes_segmentation_export: 3,
    folder_with_segs_from_prev_stage: null,
    num_parts: 1,
    part_id: 0,
  };
  const options = { ...optionsOf(values), share: true, continuePrediction: true };
  await refuseOtherRun({ model, outputFolder: output, arguments: args }, options);
  await writeRunFiles(output, model, args);
}

async function realPaths(folders: readonly (string | undefined)[]): Promise<string[]> {
  return await Promise.all(folders.filter((one) => one !== undefined).map((one) => Deno.realPath(one)));
}

async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  await new Promise<void>((done) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      done();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener("abort", end);
  });
}
