/** The commands `predict` and `predict_from_modelfolder`: flags in, a prediction request out. */
import { UsageError } from "../../core/base/errors.ts";
import { resolveDatasetName, resolveModelFolder } from "../../core/dataset/dataset_names.ts";
import { checkPrecision } from "../flags/engine_flags.ts";
import { PREDICT, PREDICT_FROM_MODELFOLDER, type PredictValues } from "../flags/predict_flags.ts";
import { type CommandContext, defineCommand } from "./command.ts";

const EXIT_CODES =
  "Exit code 0: all cases are predicted; 1: something could not be done, and the message says what; 2: the command line " +
  "is wrong. Cases that cannot be predicted don't keep the others from being done.";

export const predictCommand = defineCommand({
  flags: PREDICT,
  details: [
    `The model is nnUNet_results/DATASET/TRAINER__PLANS__CONFIG, nnUNet_results being an environment variable. ${EXIT_CODES}`,
  ],
  check,
  run: (values, context) =>
    start(values, context, async () => {
      const { folders } = context.environment;
      const { trainer, plans, configuration } = values;
      const dataset = await resolveDatasetName(values.dataset, folders);
      return await resolveModelFolder({ dataset, trainer, plans, configuration }, folders);
    }),
});

export const predictFromModelfolderCommand = defineCommand({
  flags: PREDICT_FROM_MODELFOLDER,
  details: [EXIT_CODES],
  check,
  run: (values, context) => start(values, context, () => Promise.resolve(values.modelFolder)),
});

function check(values: PredictValues): void {
  const { parts, part } = values;
  if (part >= parts) {
    throw new UsageError(
      `argument -part_id: it is ${part} of -num_parts ${parts}; ` +
        `${parts === 1 ? "0 is the only part" : `a number from 0 to ${parts - 1} is needed`}`,
    );
  }
  checkPrecision(values);
}

async function start(
  values: PredictValues,
  context: CommandContext,
  findModel: () => Promise<string>,
): Promise<boolean> {
  // Loaded only now, so that --help and usage errors start nothing.
  const { runPrediction } = await import("../run_prediction.ts");
  return await runPrediction({ values, context, findModel });
}
