/** What a run has to do with others in the same output folder: that they are of one model, and which cases each takes. */
import { isPredicted, requireSameModelFiles } from "./output_folder.ts";
import type { CaseToPredict, PredictionHooks, PredictionOptions, PredictionRequest } from "./request.ts";
import { requireSameRun, shareCases, type SharedCases } from "./shared_cases.ts";

export type SharingOptions = Required<
  Pick<
    PredictionOptions,
    "share" | "continuePrediction" | "stepSize" | "mirroring" | "saveProbabilities" | "nonFinite"
  >
>;

/** Null unless the cases are shared with other processes. */
export function openShared(
  { model, outputFolder }: Pick<PredictionRequest, "model" | "outputFolder">,
  options: SharingOptions,
  todo: readonly CaseToPredict[],
): SharedCases | null {
  if (!options.share || outputFolder === undefined) return null;
  return shareCases(
    outputFolder,
    todo,
    (one) => isPredicted(one, model.dataset.fileEnding, options.saveProbabilities),
  );
}

/** Where what is in the folder stays: that it is of the same model. @throws UserError naming the file that tells */
export async function refuseOtherRun(
  { model, outputFolder, arguments: args }: Pick<PredictionRequest, "model" | "outputFolder" | "arguments">,
  options: SharingOptions,
) {
  if (outputFolder === undefined) return;
  const { share, continuePrediction, stepSize, mirroring, saveProbabilities, nonFinite } = options;
  if (share || continuePrediction || (args?.num_parts ?? 1) > 1) await requireSameModelFiles(outputFolder, model);
  if (share) await requireSameRun(outputFolder, model, { stepSize, mirroring, saveProbabilities, nonFinite });
}

/** Gives a case's claim back when it is written. */
export function withClaims({ onEvent, signal }: PredictionHooks, shared: SharedCases): PredictionHooks {
  return {
    signal,
    onEvent(event) {
      if (event.kind === "done") shared.done(event.record.id);
      if (event.kind === "failed") shared.failed(event.id);
      onEvent?.(event);
    },
  };
}
