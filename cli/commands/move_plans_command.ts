/** The command `move_plans_between_datasets`. */
import { resolveDatasetName } from "../../core/dataset/dataset_names.ts";
import { movePlans } from "../../core/plan/move_plans.ts";
import type { Command } from "./command.ts";
import { environmentOfProcess, requireRoots } from "../dataset_folders.ts";
import type { FlagTable } from "../flags/flag.ts";
import { parseCommandLine } from "../flags/parse_command_line.ts";
import { print, printError } from "../terminal.ts";

const GROUP = "Plans";
const FLAGS = {
  source: {
    kind: "text",
    names: ["-s"],
    value: "DATASET",
    required: true,
    group: GROUP,
    help: "Dataset whose plans are taken, by name or number.",
  },
  target: {
    kind: "text",
    names: ["-t"],
    value: "DATASET",
    required: true,
    group: GROUP,
    help: "Dataset that gets them, by name or number.",
  },
  sourcePlans: {
    kind: "text",
    names: ["-sp"],
    value: "NAME",
    required: true,
    group: GROUP,
    help: "Name of the plans: nnUNetPlans for nnUNetPlans.json.",
  },
  targetPlans: {
    kind: "text",
    names: ["-tp"],
    value: "NAME",
    group: GROUP,
    help: "Their name at the target. Default: the same, which is not advised for a default name like nnUNetPlans.",
  },
} as const satisfies FlagTable;

export const movePlansCommand: Command & { readonly flags: typeof FLAGS } = {
  flags: FLAGS,
  details: [
    "Copies nnUNet_preprocessed/SOURCE/<-sp>.json to nnUNet_preprocessed/TARGET/<-tp>.json with the target's name and reader, so that " +
    "the target can be preprocessed and trained as the source was.",
  ],
  async run(args, shownName) {
    const values = parseCommandLine("move_plans_between_datasets", movePlansCommand, args, shownName);
    if (!values) return 0;
    const environment = environmentOfProcess();
    const roots = requireRoots(environment);
    const { file, warnings } = await movePlans({
      ...roots,
      source: await resolveDatasetName(values.source, environment.folders),
      target: await resolveDatasetName(values.target, environment.folders),
      sourcePlans: values.sourcePlans,
      ...(values.targetPlans !== undefined && { targetPlans: values.targetPlans }),
    });
    for (const warning of warnings) printError(`warning: ${warning}`);
    print(`plans written to ${file}`);
    return 0;
  },
};
