/** The command `plan_experiment`: from fingerprints to plans. */
import { UserError } from "../../core/base/errors.ts";
import { nearestName } from "../../core/base/nearest.ts";
import type { Environment } from "../../core/dataset/environment.ts";
import { channelNameWarnings, explainPlans } from "../../core/plan/explain.ts";
import { planDataset, type PlannedDataset } from "../../core/plan/plan_dataset.ts";
import { type Planner, PLANNERS } from "../../core/plan/planners.ts";
import type { Command } from "./command.ts";
import { environmentOfProcess, foldersOf } from "../dataset_folders.ts";
import { wrap } from "../help.ts";
import { parseCommandLine } from "../flags/parse_command_line.ts";
import { parseNumber } from "../flags/parse_flags.ts";
import { PLAN_EXPERIMENT, type PlanningValues } from "../flags/planning_flags.ts";
import { print, printError } from "../terminal.ts";

export const planExperimentCommand: Command & { readonly flags: typeof PLAN_EXPERIMENT } = {
  flags: PLAN_EXPERIMENT,
  upstreamIgnoresUnknown: true,
  details: [
    "Reads nnUNet_raw/DATASET/dataset.json and nnUNet_preprocessed/DATASET/dataset_fingerprint.json (extract_fingerprint makes it) and " +
    "writes the plans beside the latter. Configurations you added to an existing plans file are kept.",
  ],
  async run(args, shownName) {
    const values = parseCommandLine("plan_experiment", planExperimentCommand, args, shownName);
    if (!values) return 0;
    await runPlanning(values.datasets, values, environmentOfProcess());
    return 0;
  },
};

/** What the flags of planning say. @throws UserError for values that can't be taken */
export function checkPlanning(
  values: PlanningValues,
): { readonly planner: Planner; readonly targetSpacing: number[] | undefined } {
  if (values.memoryTarget !== undefined && !(values.memoryTarget > 0)) {
    throw new UserError({
      doing: "reading -gpu_memory_target",
      problem: `it is ${values.memoryTarget}`,
      remedy: "give a number of GB above 0",
    });
  }
  return {
    planner: findPlanner(values.planner),
    targetSpacing: values.targetSpacing && parseSpacing(values.targetSpacing),
  };
}

/** Plans all datasets; gives what was planned, in their order. */
export async function runPlanning(
  datasets: readonly string[],
  values: PlanningValues,
  environment: Environment,
): Promise<PlannedDataset[]> {
  const { planner, targetSpacing } = checkPlanning(values);
  if (planner.name === "ExperimentPlanner") {
    print(
      "ExperimentPlanner is nnU-Net's old default; its authors recommend -pl nnUNetPlannerResEncM, ...ResEncL or ...ResEncXL.",
    );
  }
  if (values.preprocessor !== "DefaultPreprocessor") {
    warn(
      `-preprocessor_name ${values.preprocessor} is written into the plans; this program can only preprocess with DefaultPreprocessor`,
    );
  }
  const results: PlannedDataset[] = [];
  for (const dataset of datasets) {
    const folders = await foldersOf(dataset, environment);
    const planned = await planDataset(folders.raw, folders.preprocessed, {
      planner,
      ...(values.plansName !== undefined && { plansName: values.plansName }),
      ...(values.memoryTarget !== undefined && { gpuMemoryTargetGB: values.memoryTarget }),
      ...(targetSpacing && { targetSpacing }),
      preprocessor: values.preprocessor,
      onWarning: warn,
    });
    sayPlans(planned, values);
    results.push(planned);
  }
  return results;
}

function sayPlans({ file, request, plans, kept, plansName }: PlannedDataset, values: PlanningValues): void {
  if (!values.explain) channelNameWarnings(request.channelNames).forEach(warn);
  const { planner } = request;
  if (planner.sharesDefaultData && request.targetSpacing) {
    warn(
      `${planner.name} shares the data folders nnUNetPlans_2d and nnUNetPlans_3d_fullres with the default plans, and ` +
        `-overwrite_target_spacing makes other data: give data_identifier in ${plansName}.json names of its own before preprocessing`,
    );
  }
  if (values.explain) {
    for (const { title, lines } of explainPlans(request, plans)) {
      print([title, ...lines.flatMap((line) => wrap(line, 110, "  ")).map((line) => `  ${line}`), ""].join("\n"));
    }
  } else {
    for (const [name, one] of Object.entries(plans.configurations as Record<string, Record<string, unknown>>)) {
      if (!one.patch_size) continue;
      const by = (values: unknown) => (values as number[]).map((value) => Number(value.toPrecision(4))).join(" x ");
      print(`${name}: spacing ${by(one.spacing)} mm, patch ${by(one.patch_size)}, batch ${one.batch_size}`);
    }
  }
  const also = kept.length ? ` (kept from before: ${kept.join(", ")})` : "";
  print(`${request.datasetName}: plans written to ${file}${also}`);
}

function findPlanner(name: string): Planner {
  const planner = PLANNERS.find((one) => one.name === name);
  if (planner) return planner;
  const names = PLANNERS.map((one) => one.name);
  const near = nearestName(name, names);
  throw new UserError({
    doing: "choosing the planner",
    problem: `there is no planner "${name}"${near ? `; did you mean ${near}?` : ""}`,
    remedy: `-pl takes ${names.join(", ")}`,
  });
}

function parseSpacing(values: readonly string[]): number[] {
  const numbers = values.map(parseNumber);
  if (numbers.length === 3 && numbers.every((value) => value !== null && value > 0 && value < Infinity)) {
    return numbers.map(Number);
  }
  throw new UserError({
    doing: "reading -overwrite_target_spacing",
    problem: `it is ${values.join(" ")}`,
    remedy: "give three numbers above 0, the spacing in mm of the axes as read (z y x)",
  });
}

function warn(message: string): void {
  printError(`warning: ${message}`);
}
