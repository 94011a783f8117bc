/** The commands `predict` and `predict_from_modelfolder`: flags in, a prediction request out. */
import { resolveDatasetName, resolveModelFolder } from "../../core/dataset/dataset_names.ts";
import { type Environment, readEnvironment } from "../../core/dataset/environment.ts";
import type { Command } from "./command.ts";
import { parseCommandLine } from "../flags/parse_command_line.ts";
import { PREDICT, PREDICT_FROM_MODELFOLDER, type PredictValues } from "../flags/predict_flags.ts";

const EXIT_CODES =
  "Exit code 0: all cases are predicted; 1: something could not be done, and the message says what; 2: the command line " +
  "is wrong. Cases that cannot be predicted don't keep the others from being done.";

export const predict: Command & { readonly flags: typeof PREDICT } = {
  flags: PREDICT,
  details: [
    `The model is nnUNet_results/DATASET/TRAINER__PLANS__CONFIG, nnUNet_results being an environment variable. ${EXIT_CODES}`,
  ],
  async run(args, shownName) {
    const values = parseCommandLine("predict", predict, args, shownName);
    if (!values) return 0;
    return await start(values, args, shownName, async ({ folders }) => {
      const dataset = await resolveDatasetName(values.dataset, folders);
      return await resolveModelFolder({ ...values, dataset }, folders);
    });
  },
};

export const predictFromModelfolder: Command & { readonly flags: typeof PREDICT_FROM_MODELFOLDER } = {
  flags: PREDICT_FROM_MODELFOLDER,
  details: [EXIT_CODES],
  async run(args, shownName) {
    const values = parseCommandLine("predict_from_modelfolder", predictFromModelfolder, args, shownName);
    if (!values) return 0;
    return await start(values, args, shownName, () => Promise.resolve(values.modelFolder));
  },
};

async function start(
  values: PredictValues,
  args: readonly string[],
  shownName: string,
  findModel: (environment: Environment) => Promise<string>,
): Promise<number> {
  const environment = readEnvironment((name) => Deno.env.get(name));
  // Loaded only now, so that --help and usage errors start nothing.
  const { runPrediction } = await import("../run_prediction.ts");
  return await runPrediction({
    values,
    commandLine: [...shownName.split(" "), ...args],
    environment,
    findModel: () => findModel(environment),
  });
}
