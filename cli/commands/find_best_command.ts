/** The command `find_best_configuration`: the best model or pair of models by cross-validation, and its postprocessing. */
import { resolveDatasetName } from "../../core/dataset/dataset_names.ts";
import { modelId } from "../../core/dataset/model_id.ts";
import { type BestFound, type BestRequest, findBestConfiguration } from "../../core/choose/find_best.ts";
import { requireFolders } from "../dataset_folders.ts";
import { FIND_BEST } from "../flags/choose_flags.ts";
import { type CommandContext, defineCommand } from "./command.ts";
import { uniqueFolds } from "./accumulate_command.ts";

export const findBestCommand = defineCommand({
  flags: FIND_BEST,
  examples: [
    { does: "Compare all configurations that the plans have, and every two of them as an ensemble", args: "4" },
    {
      does: "Two configurations, by themselves, on the folds that are trained",
      args: "4 -c 2d 3d_fullres -f 0 1 --disable_ensembling",
    },
    { does: "Go on after a stop", args: "4 --no_overwrite" },
  ],
  details: [
    "Models are compared by the mean Dice of the foreground over all folds. Writes, into nnUNet_results/DATASET, the collected " +
    "validations of every model and of every ensemble with their summary.json, the postprocessing that helps the best one, " +
    "inference_information.json and inference_instructions.txt. `predict --best` then does what was chosen.",
  ],
  async run(values, context) {
    const { environment, print } = context;
    const { results } = requireFolders(environment, ["results"], {
      doing: "looking for the trained models",
      remedy: "set it to the folder that holds the trained models (export nnUNet_results=/path/to/results)",
    });
    const { trainers, configurations, plans } = values;
    const found = await findBestConfiguration({
      dataset: await resolveDatasetName(values.dataset, environment.folders),
      trainers: [...new Set(trainers)],
      configurations: [...new Set(configurations)],
      plans: [...new Set(plans)],
      folds: uniqueFolds(values.folds),
      folders: { ...environment.folders, results },
      ensembling: !values.disableEnsembling,
      overwrite: !values.noOverwrite,
      ...comparisonOf(values, context),
      say: print,
    });
    print(`\n${found.instructions.trimEnd()}`);
    sayBest(found, context);
    return true;
  },
});

/** What a comparison takes of the flags, and tells whom. */
export function comparisonOf(
  { threads, maxMemory, instructions }: {
    readonly threads?: number;
    readonly maxMemory?: number;
    readonly instructions?: BestRequest["instructions"]["commands"];
  },
  { byUpstreamName, signal, count, event, warn }: CommandContext,
): Pick<
  BestRequest,
  "instructions" | "threads" | "maxMemory" | "signal" | "count" | "onResult" | "onWarning"
> {
  const processes = Number(Deno.env.get("nnUNet_def_n_proc"));
  return {
    instructions: {
      commands: instructions ?? (byUpstreamName ? "python" : "nnunet"),
      processes: Number.isInteger(processes) && processes > 0 ? processes : 8,
    },
    threads,
    maxMemory,
    signal,
    count: (what) => count(what, "bar"),
    onResult: (id, dice) => event?.("result", { model: id, dice }),
    onWarning: warn,
  };
}

/** Says the event of what was chosen. */
export function sayBest(found: BestFound, { event }: CommandContext): void {
  event?.("best", {
    models: found.best.map(modelId),
    folds: found.folds,
    dice: found.before,
    postprocessedDice: found.after,
    information: found.informationFile,
    instructions: found.instructionsFile,
  });
}
