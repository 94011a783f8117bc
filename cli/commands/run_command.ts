/** The command `run`: nnU-Net's whole recipe for a dataset, resumable at any point. */
import { PLANNERS } from "../../core/plan/planners.ts";
import { readRecipe } from "../../core/train/recipe.ts";
import { checkPrecision } from "../flags/engine_flags.ts";
import { checkFolds, checkStarts, RUN } from "../flags/run_flags.ts";
import { changesOf } from "../training_request.ts";
import { defineCommand } from "./command.ts";
import { findPlanner } from "./plan_experiment_command.ts";

export const runCommand = defineCommand({
  flags: RUN,
  examples: [
    { does: "All configurations and folds of Dataset004", args: "4" },
    { does: "What is done, what is left, and how long it takes", args: "4 --dry-run" },
    {
      does: "One configuration, planned by a preset of residual encoders",
      args: "4 -c 3d_fullres -pl nnUNetPlannerResEncM",
    },
    {
      does: "Plans for a GPU of 24 GB, under a name of their own",
      args: "4 -pl nnUNetPlannerResEncL -gpu_memory_target 24 -p plans24",
    },
    { does: "Two folds at a time, one on each of two GPUs", args: "4 -c 3d_fullres --gpus 0,1" },
    { does: "Short trainings, under a name of their own", args: "4 --epochs 50 --name short" },
  ],
  details: [
    "Checks the dataset, plans, preprocesses and trains the folds of the cross-validation of each configuration, with the " +
    "probabilities of the validation cases; of a cascade first the five folds of its earlier stage. Then it chooses the best " +
    "configuration or pair of them and its postprocessing, as find_best_configuration does; `predict --best` uses that.",
    "What is done is seen from the files that each stage leaves. Stopped or killed at any moment, the same command goes " +
    "on where it was. Several at once on one dataset, on machines that share its folders (the elements of a SLURM array, " +
    "...), each train other folds.",
    "Where dataset, plans or settings have changed since something was made, it says so and goes no further without --stale.",
  ],
  check(values) {
    checkFolds(values.folds);
    checkStarts(values, PLANNERS.map(({ plansName }) => plansName));
    checkPrecision(values);
    if (values.planner !== undefined) findPlanner(values.planner);
    readRecipe(values.trainer, changesOf(values));
  },
  async run(values, context) {
    // Loaded only now, so that --help and usage errors start nothing.
    const { runExperiment } = await import("../experiment/run_experiment.ts");
    return await runExperiment(values, context);
  },
});
