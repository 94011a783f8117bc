/** The command `accumulate_crossval_results`: the validations of a model's folds in one folder, evaluated together. */
import { UserError } from "../../core/base/errors.ts";
import { join } from "../../core/base/path.ts";
import { plural } from "../../core/base/plural.ts";
import { readFolder } from "../../core/base/read_folder.ts";
import { accumulateResults } from "../../core/choose/crossval_results.ts";
import { resolveDatasetName, resolveModelFolder } from "../../core/dataset/dataset_names.ts";
import { crossvalFolder, modelId } from "../../core/dataset/model_id.ts";
import { pythonJoin } from "../../core/evaluate/evaluate_folder.ts";
import { ACCUMULATE } from "../flags/choose_flags.ts";
import { defineCommand } from "./command.ts";

export const accumulateCommand = defineCommand({
  flags: ACCUMULATE,
  examples: [
    { does: "Collect the validations of all five folds", args: "4 -c 3d_fullres" },
    { does: "Of two folds, into a folder of its own", args: "4 -c 3d_fullres -f 0 1 -o two_folds" },
  ],
  details: ["Writes all predicted segmentations, dataset.json, plans.json and summary.json, which is over all cases."],
  async run(values, { environment, print, warn, count, event, signal }) {
    const { trainer, plans, configuration, threads, maxMemory } = values;
    const folds = uniqueFolds(values.folds);
    const dataset = await resolveDatasetName(values.dataset, environment.folders);
    const name = { dataset, trainer, plans, configuration };
    await resolveModelFolder(name, environment.folders);
    // Joined as Python joins it, for the paths in the summary.
    const folder = pythonJoin(pythonJoin(environment.folders.results ?? "", dataset), modelId(name));
    if (values.output !== undefined) await requireEmpty(values.output);
    const { cases, dice, summary } = await accumulateResults({
      model: { ...name, folder },
      folds,
      output: values.output ?? pythonJoin(folder, crossvalFolder(folds)),
      overwrite: values.output === undefined,
      folders: environment.folders,
      threads,
      maxMemory,
      signal,
      onCase: count("cases compared", "bar"),
      onWarning: warn,
    });
    event?.("score", { label: "foreground", dice, cases, summary });
    const shown = Number.isNaN(dice) ? "NaN (a label is in no case)" : dice.toFixed(4);
    print(
      `${plural(cases, "case")} of ${plural(folds.length, "fold")}, mean Dice of the foreground ${shown}: ${
        join(summary)
      }`,
    );
    return true;
  },
});

/** A fold that is named twice counts once. */
export function uniqueFolds(folds: readonly number[]): number[] {
  return [...new Set(folds)];
}

/** @throws UserError if the folder is there and has something in it */
async function requireEmpty(folder: string): Promise<void> {
  const entries = await readFolder(folder, "looking at the output folder");
  if (entries === null || entries.length === 0) return;
  throw new UserError({
    doing: "choosing the output folder",
    file: folder,
    problem: `it is there and holds ${plural(entries.length, "file or folder")}; nothing is overwritten`,
    remedy: "name a new or an empty folder with -o, or empty this one",
  });
}
