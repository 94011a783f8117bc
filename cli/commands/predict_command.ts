/** The commands `predict` and `predict_from_modelfolder`: flags in, a prediction request out. */
import { resolveDatasetName, resolveModelFolder } from "../../core/dataset/dataset_names.ts";
import { checkPart, choosePart, hasNoRank, readArrayPlace } from "../array_part.ts";
import { checkPrecision } from "../flags/engine_flags.ts";
import type { Values } from "../flags/flag.ts";
import { PREDICT, PREDICT_FROM_MODELFOLDER, type PredictValues } from "../flags/predict_flags.ts";
import { UsageError } from "../../core/base/errors.ts";
import { type CommandContext, defineCommand } from "./command.ts";

const FAILURES = "Cases that cannot be predicted don't keep the others from being done.";

const DICOM =
  "DICOM: -i names a folder with the files of one study, in it or in folders below, which is one case named after the " +
  "folder; or a folder with a folder for each case, CASE, or CASE_0000, CASE_0001, ... for several channels. A series is " +
  "read as SimpleITK reads it; the segmentation has the model's own ending.";

export const predictCommand = defineCommand({
  flags: PREDICT,
  examples: [
    {
      does: "Segment a folder of images with fold 0 of a model in nnUNet_results",
      args: "-i images -o segmentations -d 4 -c 3d_fullres -f 0",
    },
    {
      does: "The average of five folds, four gigabytes of memory at most, a report for the files",
      args: "-i images -o segmentations -d 4 -c 3d_fullres --max-memory 4G --report report.json",
    },
    {
      does: "What find_best_configuration chose: configurations, folds, ensemble and postprocessing",
      args: "-i images -o segmentations -d 4 --best",
    },
    {
      does: "Go on after a stop: cases that are predicted are left as they are",
      args: "-i images -o segmentations -d 4 -c 3d_fullres --continue_prediction",
    },
    {
      does: "Sizes, places and intensities of what is segmented, as a table, and its surfaces",
      args: "-i images -o segmentations -d 4 -c 3d_fullres --statistics organs.csv --mesh stl",
    },
    {
      does: "One series of a DICOM study; without --series the error lists what there is",
      args: "-i study -o liver.nii.gz -d 4 -c 3d_fullres --series 1.2.840.113619.2.55.3",
    },
    {
      does: "The second of four runs that share the cases",
      args: "-i images -o segmentations -d 4 -c 3d_fullres -num_parts 4 -part_id 1",
    },
  ],
  details: [
    `The model is nnUNet_results/DATASET/TRAINER__PLANS__CONFIG, nnUNet_results being an environment variable. ${FAILURES}`,
    DICOM,
  ],
  check(values) {
    check(values);
    if (values.best) checkBest(values);
  },
  run: (values, context) => {
    if (values.best) return startBest(values, context);
    return start(values, context, async () => {
      const { folders } = context.environment;
      const { trainer, plans, configuration = "" } = values;
      const dataset = await resolveDatasetName(values.dataset, folders);
      return await resolveModelFolder({ dataset, trainer, plans, configuration }, folders);
    });
  },
});

export const predictFromModelfolderCommand = defineCommand({
  flags: PREDICT_FROM_MODELFOLDER,
  examples: [
    { does: "Segment one image with a model's folder", args: "-i ct.nii.gz -o organs.nii.gz -m MODEL_FOLDER -f all" },
    {
      does: "One case of two channels, on the CPU",
      args: "-i t1.nii.gz,t2.nii.gz -o tumour.nii.gz -m MODEL_FOLDER -f 0 -device cpu",
    },
  ],
  details: [FAILURES],
  check,
  run: (values, context) => start(values, context, () => Promise.resolve(values.modelFolder)),
});

function check(values: PredictValues): void {
  // Without -part_id an array's index is the part, which run() looks at.
  if (values.part !== undefined) checkPart(values.parts ?? 1, values.part);
  checkPrecision(values);
  if (values.report !== undefined && values.report === values.statistics) {
    throw new UsageError("argument --statistics: it is the file of --report");
  }
}

/** Flags that say what inference_information.json says, or that can't be kept over several predictions. */
function checkBest(
  values: Values<typeof PREDICT>,
): void {
  const given = [
    ["-c", values.configuration !== undefined],
    ["-tr", values.trainer !== PREDICT.trainer.default],
    ["-p", values.plans !== PREDICT.plans.default],
    ["-f", values.folds.join() !== PREDICT.folds.default.join()],
    ["-prev_stage_predictions", values.previousStage !== undefined],
    ["--share", values.share],
  ] as const;
  const flags = given.flatMap(([flag, isGiven]) => isGiven ? [flag] : []);
  if (flags.length === 0) return;
  throw new UsageError(`argument ${flags.join(", ")}: not allowed with argument --best, which takes what was chosen`);
}

async function startBest(values: Values<typeof PREDICT>, context: CommandContext): Promise<boolean> {
  const place = context.byUpstreamName ? undefined : readArrayPlace((name) => Deno.env.get(name));
  const { runBestPrediction } = await import("../predict_best.ts");
  return await runBestPrediction({ values, part: choosePart(values, place), context });
}

async function start(
  values: PredictValues,
  context: CommandContext,
  findModel: () => Promise<string>,
): Promise<boolean> {
  // By upstream's names it does as upstream, which knows no arrays: scripts written for it share the work themselves.
  // Runs that share take what is left, whatever their number.
  const place = context.byUpstreamName || values.share ? undefined : readArrayPlace((name) => Deno.env.get(name));
  const share = place !== undefined && values.parts === undefined && values.part === undefined && hasNoRank(place);
  if (share) {
    context.print(
      `${place.scheduler}, ${place.variable}=${place.index}: the indices have uneven gaps of which it does not tell, so ` +
        "that the cases are shared with its other processes (--share)",
    );
  }
  const part = choosePart(values, share ? undefined : place);
  // Loaded only now, so that --help and usage errors start nothing.
  const { runPrediction } = await import("../run_prediction.ts");
  const tellsView = !context.byUpstreamName;
  return await runPrediction({ values: share ? { ...values, share } : values, part, context, findModel, tellsView });
}
