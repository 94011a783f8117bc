/** The command `plan_and_preprocess`: fingerprints, plans and training data of datasets. */
import { readJsonFile } from "../../core/base/json.ts";
import { defineCommand } from "./command.ts";
import { checkFingerprints, runFingerprints } from "./extract_fingerprint_command.ts";
import { findPlanner, runPlanning } from "./plan_experiment_command.ts";
import { checkProcesses, describeOutcome, runPreprocessing, writeReport } from "./preprocess_command.ts";
import { PLAN_AND_PREPROCESS } from "../flags/preprocess_flags.ts";

export const planAndPreprocessCommand = defineCommand({
  flags: PLAN_AND_PREPROCESS,
  examples: [
    { does: "Check, plan and preprocess Dataset004 for all its configurations", args: "-d 4" },
    {
      does: "Two configurations, planned by a preset of residual encoders",
      args: "-d 4 -c 2d 3d_fullres -pl nnUNetPlannerResEncM",
    },
    { does: "Say why each number of the plans was chosen, and preprocess nothing", args: "-d 4 --explain --no_pp" },
  ],
  details: [
    "extract_fingerprint, plan_experiment and preprocess in one: first the fingerprints of all datasets, then all plans, then the data. " +
    "What a dataset's check finds is listed at once, and nothing is planned then.",
  ],
  check(values) {
    checkFingerprints(values);
    findPlanner(values.planner);
    checkProcesses(values);
  },
  async run(values, context) {
    if (!await runFingerprints(values, values.fingerprintProcesses, context)) return false;
    const planned = await runPlanning(values.datasets, values, context);
    // As upstream, the plans of the last dataset planned name those of all.
    const plansName = planned.at(-1)?.plansName;
    if (values.noPreprocessing || plansName === undefined) return true;
    const { datasets, configurations, processes, format, nan, redo, maxMemory, verbose, noProgressBar } = values;
    const allowGeometryMismatch = values.allowGeometryMismatch || values.noVerify;
    const outcomes = await runPreprocessing(
      {
        datasets,
        plansName,
        configurations,
        processes,
        format,
        nan,
        redo,
        allowGeometryMismatch,
        maxMemory,
        verbose,
        noProgressBar,
      },
      context,
    );
    if (values.report !== undefined) {
      const check = (await readJsonFile(values.report, "reading the report of the check")).value;
      await writeReport(values.report, { check, preprocessing: outcomes.map(describeOutcome) });
    }
    return outcomes.every(({ failures }) => failures.length === 0);
  },
});
