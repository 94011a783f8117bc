/** The command `plan_and_preprocess`: fingerprints, plans and training data of datasets. */
import { readJsonFile } from "../../core/base/json.ts";
import type { Command } from "./command.ts";
import { environmentOfProcess } from "../dataset_folders.ts";
import { runFingerprints } from "./extract_fingerprint_command.ts";
import { parseCommandLine } from "../flags/parse_command_line.ts";
import { checkPlanning, runPlanning } from "./plan_experiment_command.ts";
import { describeOutcome, parseProcesses, runPreprocessing, writeReport } from "./preprocess_command.ts";
import { PLAN_AND_PREPROCESS } from "../flags/preprocess_flags.ts";

export const planAndPreprocessCommand: Command & { readonly flags: typeof PLAN_AND_PREPROCESS } = {
  flags: PLAN_AND_PREPROCESS,
  details: [
    "extract_fingerprint, plan_experiment and preprocess in one: first the fingerprints of all datasets, then all plans, then the data. " +
    "What a dataset's check finds is listed at once, and nothing is planned then.",
  ],
  async run(args, shownName) {
    const values = parseCommandLine("plan_and_preprocess", planAndPreprocessCommand, args, shownName);
    if (!values) return 0;
    // Before the work, not behind the first hour of it.
    parseProcesses(values.processes, values.configurations);
    checkPlanning(values);
    const environment = environmentOfProcess();
    const fine = await runFingerprints(
      { ...values, threads: values.fingerprintProcesses, quietProgress: values.verbose },
      environment,
    );
    if (!fine) return 1;
    const planned = await runPlanning(values.datasets, values, environment);
    // As upstream, the plans of the last dataset planned name those of all.
    const plansName = planned.at(-1)?.plansName;
    if (values.noPreprocessing || plansName === undefined) return 0;
    const outcomes = await runPreprocessing({
      ...values,
      plansName,
      allowGeometryMismatch: values.allowGeometryMismatch || values.noVerify,
    }, environment);
    if (values.report !== undefined) {
      const check = (await readJsonFile(values.report, "reading the report of the check")).value;
      await writeReport(values.report, { check, preprocessing: outcomes.map(describeOutcome) });
    }
    return outcomes.every(({ failures }) => failures.length === 0) ? 0 : 1;
  },
};
