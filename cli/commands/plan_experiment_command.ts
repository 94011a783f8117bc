/** The command `plan_experiment`: from fingerprints to plans. */
import { UserError } from "../../core/base/errors.ts";
import { nearestName } from "../../core/base/nearest.ts";
import { channelNameWarnings, explainPlans } from "../../core/plan/explain.ts";
import { planDataset, type PlannedDataset } from "../../core/plan/plan_dataset.ts";
import { type Planner, PLANNERS } from "../../core/plan/planners.ts";
import { type CommandContext, defineCommand } from "./command.ts";
import { foldersOf } from "../dataset_folders.ts";
import { wrap } from "../help.ts";
import { PLAN_EXPERIMENT, type PlanningValues } from "../flags/planning_flags.ts";

export const planExperimentCommand = defineCommand({
  flags: PLAN_EXPERIMENT,
  examples: [
    { does: "Plan, and say why each number was chosen", args: "-d 4 --explain" },
    {
      does: "For a GPU of 24 GB, under a name of their own",
      args: "-d 4 -pl nnUNetPlannerResEncL -gpu_memory_target 24 -overwrite_plans_name plans24",
    },
  ],
  upstreamIgnoresUnknown: true,
  details: [
    "Reads nnUNet_raw/DATASET/dataset.json and nnUNet_preprocessed/DATASET/dataset_fingerprint.json (extract_fingerprint makes it) and " +
    "writes the plans beside the latter. Configurations you added to an existing plans file are kept.",
  ],
  check: ({ planner }) => void findPlanner(planner),
  async run(values, context) {
    await runPlanning(values.datasets, values, context);
    return true;
  },
});

/** Plans all datasets; gives what was planned, in their order. */
export async function runPlanning(
  datasets: readonly string[],
  values: PlanningValues,
  context: CommandContext,
): Promise<PlannedDataset[]> {
  const { print, warn, environment } = context;
  const planner = findPlanner(values.planner);
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
      plansName: values.plansName,
      gpuMemoryTargetGB: values.memoryTarget,
      targetSpacing: values.targetSpacing,
      preprocessor: values.preprocessor,
      onWarning: warn,
    });
    sayPlans(planned, values, context);
    results.push(planned);
  }
  return results;
}

function sayPlans(
  { file, request, plans, kept, leftOut, plansName }: PlannedDataset,
  values: PlanningValues,
  { print, warn }: CommandContext,
): void {
  if (!values.explain) channelNameWarnings(request.channelNames).forEach(warn);
  const { planner } = request;
  if (planner.sharesDefaultData && request.targetSpacing) {
    warn(
      `${planner.name} shares the data folders nnUNetPlans_2d and nnUNetPlans_3d_fullres with the default plans, and ` +
        `-overwrite_target_spacing makes other data: give data_identifier in ${plansName}.json names of its own before preprocessing`,
    );
  }
  if (values.explain) {
    for (const { title, lines } of explainPlans(request, plans, leftOut)) {
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

/** @throws UserError if there is none of this name */
export function findPlanner(name: string): Planner {
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
