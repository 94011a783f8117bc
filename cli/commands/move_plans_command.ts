/** The command `move_plans_between_datasets`. */
import { resolveDatasetName } from "../../core/dataset/dataset_names.ts";
import { movePlans } from "../../core/plan/move_plans.ts";
import { defineCommand } from "./command.ts";
import { requireRoots } from "../dataset_folders.ts";
import type { FlagTable } from "../flags/flag.ts";
import { DATASET, NAME } from "../flags/forms.ts";

const GROUP = "Plans";
const FLAGS = {
  source: {
    kind: "text",
    names: ["-s"],
    value: "DATASET",
    form: DATASET,
    required: true,
    group: GROUP,
    help: "Dataset whose plans are taken, by name or number.",
  },
  target: {
    kind: "text",
    names: ["-t"],
    value: "DATASET",
    form: DATASET,
    required: true,
    group: GROUP,
    help: "Dataset that gets them, by name or number.",
  },
  sourcePlans: {
    kind: "text",
    names: ["-sp"],
    value: "NAME",
    form: NAME,
    required: true,
    group: GROUP,
    help: "Name of the plans: nnUNetPlans for nnUNetPlans.json.",
  },
  targetPlans: {
    kind: "text",
    names: ["-tp"],
    value: "NAME",
    form: NAME,
    group: GROUP,
    help: "Their name at the target. Default: the same, which is not advised for a default name like nnUNetPlans.",
  },
} as const satisfies FlagTable;

export const movePlansCommand = defineCommand({
  flags: FLAGS,
  examples: [
    { does: "Train Dataset005 with the plans of Dataset004", args: "-s 4 -t 5 -sp nnUNetPlans -tp plans_of_4" },
  ],
  details: [
    "Copies nnUNet_preprocessed/SOURCE/<-sp>.json to nnUNet_preprocessed/TARGET/<-tp>.json with the target's name and reader, so that " +
    "the target can be preprocessed and trained as the source was.",
  ],
  async run(values, { environment, print, warn }) {
    const { raw, preprocessed } = requireRoots(environment);
    const { file, warnings } = await movePlans({
      raw,
      preprocessed,
      source: await resolveDatasetName(values.source, environment.folders),
      target: await resolveDatasetName(values.target, environment.folders),
      sourcePlans: values.sourcePlans,
      targetPlans: values.targetPlans,
    });
    for (const warning of warnings) warn(warning);
    print(`plans written to ${file}`);
    return true;
  },
});
