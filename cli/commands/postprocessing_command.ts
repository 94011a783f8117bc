/** The commands `determine_postprocessing` and `apply_postprocessing`. */
import { plural } from "../../core/base/plural.ts";
import { applyPostprocessing } from "../../core/postprocess/apply.ts";
import { decisionLine } from "../../core/postprocess/decision_line.ts";
import { determinePostprocessing } from "../../core/postprocess/determine.ts";
import { readPostprocessingInputs } from "../../core/postprocess/inputs.ts";
import { readSteps } from "../../core/postprocess/postprocessing_file.ts";
import { sayFailedCase } from "../event_log.ts";
import { APPLY_POSTPROCESSING, DETERMINE_POSTPROCESSING } from "../flags/postprocessing_flags.ts";
import { failedCase } from "../report.ts";
import { defineCommand } from "./command.ts";

const WHAT =
  "To keep the largest component means: of the voxels of some labels that hang together (with all neighbours, diagonals too), " +
  "the largest part stays, and what is apart from it becomes background.";

export const determinePostprocessingCommand = defineCommand({
  flags: DETERMINE_POSTPROCESSING,
  examples: [
    {
      does: "Find out whether to keep only the largest component, of all labels together and of each",
      args: "-i MODEL/crossval_results_folds_0_1_2_3_4 -ref labelsTr",
    },
  ],
  details: [
    `${WHAT} A step is taken where it raises the mean Dice: of all labels without making one worse, then of each label.`,
    "Writes postprocessing.pkl and postprocessing.json into the folder -i, which Python's nnU-Net reads as well, and the " +
    "postprocessed segmentations with their summary.json into its subfolder postprocessed.",
  ],
  async run(values, context) {
    const { input, references, removePostprocessed, threads, maxMemory } = values;
    const { dataset, reader } = await readPostprocessingInputs(input, values);
    const compared = context.count("cases compared", "bar");
    const postprocessed = context.count("cases postprocessed", "bar");
    const { steps, before, after, cases, file } = await determinePostprocessing({
      predictions: input,
      references,
      dataset,
      reader,
      keepPostprocessed: !removePostprocessed,
      threads,
      maxMemory,
      signal: context.signal,
      onCase: (work, done, of) => (work === "compared" ? compared : postprocessed)(done, of),
      onDecision: (decision) => {
        const { key, accepted } = decision;
        context.event?.("postprocessing", { label: key, accepted, before: decision.before, after: decision.after });
        context.print(decisionLine(decision));
      },
      onWarning: context.warn,
    });
    const taken = steps.length === 0 ? "no step helps" : plural(steps.length, "step");
    context.print(`${plural(cases, "case")}, ${taken}, mean Dice ${before.toFixed(4)} -> ${after.toFixed(4)}: ${file}`);
    return true;
  },
});

export const applyPostprocessingCommand = defineCommand({
  flags: APPLY_POSTPROCESSING,
  examples: [
    {
      does: "Postprocess predictions as was found to help in the cross-validation",
      args: "-i segmentations -o postprocessed -pp_pkl_file postprocessing.pkl",
    },
  ],
  details: [
    `${WHAT} The .pkl is read without running anything that it names; one that names another function than nnU-Net's is refused.`,
  ],
  async run(values, context) {
    const { input, output, postprocessing, threads, maxMemory } = values;
    const steps = await readSteps(postprocessing);
    const { dataset: { fileEnding }, reader } = await readPostprocessingInputs(input, values);
    const { cases, failed, changedCases } = await applyPostprocessing({
      input,
      output,
      fileEnding,
      reader,
      steps,
      threads,
      maxMemory,
      signal: context.signal,
      onCase: context.count("cases postprocessed", "bar"),
    });
    for (const { error } of failed) sayFailedCase(failedCase(error), context);
    const written = cases - failed.length;
    context.print(`${plural(written, "case")} written to ${output}, ${changedCases} of them changed`);
    if (failed.length > 0) {
      const names = failed.map(({ caseId }) => caseId).join(", ");
      context.printError(`${failed.length} of ${plural(cases, "case")} could not be postprocessed: ${names}`);
    }
    return failed.length === 0;
  },
});
