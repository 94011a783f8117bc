/** The end of `run`: the best configuration or pair of them, its postprocessing, and what predicts with it. */
import { Interrupted } from "../../core/base/errors.ts";
import { isLocked } from "../../core/base/folder_lock.ts";
import { plural } from "../../core/base/plural.ts";
import { dirname, join } from "../../core/base/path.ts";
import { findBestConfiguration } from "../../core/choose/find_best.ts";
import { type ChoiceState, lookAtChoice } from "../../core/experiment/choice_state.ts";
import type { Experiment } from "../../core/experiment/experiment.ts";
import { lookAtFolds } from "../../core/experiment/fold_state.ts";
import type { CommandContext } from "../commands/command.ts";
import { comparisonOf, sayBest } from "../commands/find_best_command.ts";
import type { RunValues } from "../flags/run_flags.ts";
import { diceText } from "../training_request.ts";
import { STOPPED, waitForLock } from "./waiting.ts";

/** Chooses, unless that is done, and says what was chosen. @throws UserError, Interrupted */
export async function chooseBest(experiment: Experiment, values: RunValues, context: CommandContext): Promise<void> {
  const look = async () => await lookAtChoice(experiment, await lookAtFolds(experiment));
  const lock = join(experiment.results, ".choice.lock");
  if (values.noWait && isLocked(lock)) return context.print("another run is choosing the best");
  using _lock = await waitForLock(lock, "is choosing the best", context);
  const choice = await look();
  if (!choice?.isReady) return;
  if (!choice.best) await choose(experiment, choice, values, context);
  const { best, folds } = await look() ?? choice;
  if (best) sayChoice(best, folds, values, context);
}

async function choose(
  { raw, results, recipe, plans, configurations, saveProbabilities }: Experiment,
  { folds, isOutdated }: ChoiceState,
  values: RunValues,
  context: CommandContext,
): Promise<void> {
  const { environment: { folders }, print } = context;
  const names = configurations.map(({ name }) => name);
  print(`choosing the best of ${names.join(", ")} by ${plural(folds.length, "fold")}`);
  const comparison = comparisonOf({ threads: values.processes, maxMemory: values.maxMemory }, context);
  try {
    const found = await findBestConfiguration({
      ...comparison,
      dataset: raw.name,
      trainers: [recipe.folderName],
      configurations: names,
      plans: [plans.plansName],
      folds,
      folders: { ...folders, results: dirname(results) },
      ensembling: saveProbabilities,
      overwrite: isOutdated,
      say: (text) => values.verbose && print(text),
    });
    sayBest(found, context);
  } catch (error) {
    throw error instanceof Interrupted ? new Interrupted(STOPPED) : error;
  }
}

function sayChoice(
  { configurations, before, after }: NonNullable<ChoiceState["best"]>,
  folds: readonly number[],
  { dataset }: RunValues,
  { print }: CommandContext,
): void {
  const what = configurations.length > 1 ? `the ensemble of ${configurations.join(" and ")}` : configurations[0];
  const postprocessed = after === before ? "no postprocessing helps it" : `${diceText(after)} with postprocessing`;
  print(
    `best: ${what}, Dice ${diceText(before)} of ${plural(folds.length, "fold")}, ${postprocessed}\n` +
      `to predict with it: nnunet predict --best -d ${dataset} -i IMAGES -o SEGMENTATIONS`,
  );
}
