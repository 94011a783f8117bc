/** The job of reading and preprocessing a case, as the predictor gives it to the thread that does it. */
import type { MemoryAllowance } from "../../base/memory_allowance.ts";
import type { Model } from "../model/model_folder.ts";
import type { PrepareJob } from "./case_jobs.ts";
import { refersToSource } from "./output_formats.ts";
import type { CaseToPredict, PredictionOptions } from "./request.ts";

/** @param memory What it may take; undefined where nothing is known of the machine */
export function prepareJob(
  { plans, configuration }: Pick<Model, "plans" | "configuration">,
  { nonFinite = "refuse", checksums = false }: Pick<PredictionOptions, "nonFinite" | "checksums">,
  one: CaseToPredict,
  memory: MemoryAllowance | undefined,
): PrepareJob {
  return {
    kind: "prepare",
    id: one.id,
    files: one.files,
    ...(one.previousStageFile !== undefined && { previousStageFile: one.previousStageFile }),
    ...(one.stored && { stored: one.stored }),
    plans: { ...plans, json: null },
    configuration,
    nonFinite,
    checksums,
    needsSource: one.outputs?.some(({ format }) => refersToSource(format)) ?? false,
    ...(memory && { memory }),
  };
}
