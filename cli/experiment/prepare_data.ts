/** The stages of `run` before the trainings: check and fingerprint, plans, data. Each is done by what its own command is made of. */
import { ensureFolder } from "../../core/base/files.ts";
import { UserError } from "../../core/base/errors.ts";
import { nearestName } from "../../core/base/nearest.ts";
import { join } from "../../core/base/path.ts";
import { refuseStale } from "../../core/experiment/dataset_state.ts";
import { type ExperimentRequest, lookAtExperiment, type Overview } from "../../core/experiment/overview.ts";
import { moveAside } from "../../core/experiment/redo.ts";
import { PLANNERS } from "../../core/plan/planners.ts";
import type { CommandContext } from "../commands/command.ts";
import { fingerprintDataset } from "../commands/extract_fingerprint_command.ts";
import { runPlanning } from "../commands/plan_experiment_command.ts";
import { runPreprocessing } from "../commands/preprocess_command.ts";
import type { RunValues } from "../flags/run_flags.ts";
import { staleStages } from "./overview_lines.ts";
import { waitForLock } from "./waiting.ts";

/**
 * Does what is left before the trainings; one run at a time does.
 * @returns the state after it; undefined if it could not all be done, and the user has been told why
 */
export async function prepareData(
  request: ExperimentRequest,
  values: RunValues,
  context: CommandContext,
): Promise<Overview | undefined> {
  await ensureFolder(request.preprocessed, "making the folder of preprocessed data");
  using _lock = await waitForLock(join(request.preprocessed, ".run.lock"), "is preparing the data", context);
  const look = async () => {
    const overview = await lookAtExperiment(request);
    if (values.stale === "refuse") refuseStale(staleStages(overview));
    return overview;
  };
  let overview = await look();
  if (!overview.plans.isDone && !request.planner) throw noPlanner(request);
  const { fingerprint } = overview;
  if (!fingerprint.isDone) {
    const isAnew = values.stale === "redo" && fingerprint.stale.length > 0;
    if (!await makeFingerprint(request, isAnew, values, context)) return undefined;
    overview = await look();
  }
  const isReplanned = values.stale === "redo" && overview.plans.stale.length > 0;
  if (!overview.plans.isDone || isReplanned) {
    await makePlans(request, values, context);
    overview = await look();
  }
  overview = await moveStaleFolds(overview, look, values, context);
  return await preprocessWhatIsLeft(request, overview, values, context) ? await look() : undefined;
}

async function makeFingerprint(
  { name }: ExperimentRequest,
  isAnew: boolean,
  values: RunValues,
  context: CommandContext,
): Promise<boolean> {
  const { noVerify, allowGeometryMismatch, maxMemory, verbose, processes } = values;
  const run = (clean: boolean) =>
    fingerprintDataset(
      name,
      {
        extractor: "DatasetFingerprintExtractor",
        clean,
        verify: !noVerify,
        noVerify,
        allowGeometryMismatch,
        report: undefined,
        maxMemory,
        verbose,
        noProgressBar: false,
      },
      processes,
      context,
    );
  const outcome = await run(isAnew);
  if (outcome.state === "refused") return false;
  if (!outcome.isOfOtherImages || values.stale === "keep") return true;
  if (values.stale === "refuse") {
    refuseStale([{ what: "check and fingerprint", stale: ["the fingerprint is of other images than are there now"] }]);
  }
  return (await run(true)).state !== "refused";
}

function noPlanner({ plansName, preprocessed }: ExperimentRequest): UserError {
  const near = nearestName(plansName, PLANNERS.map((one) => one.plansName));
  return new UserError({
    doing: "planning the experiment",
    file: join(preprocessed, `${plansName}.json`),
    problem:
      "these plans are not there, or not of the dataset as it is now, and no planner makes plans of that name by " +
      `itself${near === undefined ? "" : `; did you mean ${near}?`}`,
    remedy: "say with -pl how to make them, name other plans with -p, or bring them with move_plans_between_datasets",
  });
}

async function makePlans(request: ExperimentRequest, values: RunValues, context: CommandContext): Promise<void> {
  const { name, planner, plansName } = request;
  if (!planner) throw noPlanner(request);
  await runPlanning([name], {
    planner: planner.name,
    memoryTarget: values.memoryTarget,
    preprocessor: "DefaultPreprocessor",
    targetSpacing: values.targetSpacing,
    plansName: plansName === planner.plansName ? undefined : plansName,
    explain: values.verbose,
  }, context);
}

async function moveStaleFolds(
  overview: Overview,
  look: () => Promise<Overview>,
  { stale }: RunValues,
  { print }: CommandContext,
): Promise<Overview> {
  const folds = overview.folds.filter((fold) => fold.stale.length > 0);
  if (stale !== "redo" || folds.length === 0) return overview;
  const busy = folds.find(({ isBusy }) => isBusy);
  if (busy) {
    throw new UserError({
      doing: "moving trained folds aside",
      file: busy.folder,
      problem: "another run is training this fold at this moment",
      remedy: "stop it, or wait until it ends",
    });
  }
  for (const { folder } of folds) print(`${folder} is of an earlier state: moved to ${await moveAside(folder)}`);
  return await look();
}

async function preprocessWhatIsLeft(
  { name, plansName }: ExperimentRequest,
  { data }: Overview,
  values: RunValues,
  context: CommandContext,
): Promise<boolean> {
  const left = data.filter(({ isDone }) => !isDone);
  for (const format of new Set(left.map((one) => one.format))) {
    const { processes, nan, noVerify, maxMemory, verbose } = values;
    const outcomes = await runPreprocessing({
      datasets: [name],
      plansName,
      configurations: left.filter((one) => one.format === format).map(({ configuration }) => configuration),
      processes: processes === undefined ? undefined : [processes],
      format,
      nan,
      redo: false,
      allowGeometryMismatch: values.allowGeometryMismatch || noVerify,
      maxMemory,
      verbose,
      noProgressBar: false,
    }, context);
    if (!outcomes.every(({ failures }) => failures.length === 0)) return false;
  }
  return true;
}
