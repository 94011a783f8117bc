/** What does the jobs: models that stay loaded on the engine that predict would choose. */
import { Interrupted, UserError, type UserErrorParts } from "../../core/base/errors.ts";
import { join } from "../../core/base/path.ts";
import { spacingFileOfLabels } from "../../core/formats/image/tiff/spacing_file.ts";
import type { Model } from "../../core/predict/model/model_folder.ts";
import { OUTPUT_FORMATS, type OutputFormat } from "../../core/predict/run/output_formats.ts";
import { probabilityPaths } from "../../core/predict/run/output_folder.ts";
import { openResident } from "../engines/resident.ts";
import type { ChosenEngine, EngineWish, StartHooks } from "../engines/select_engine.ts";
import { outputsBeside } from "../output_files.ts";
import { programDigest } from "../program_digest.ts";
import { describeModel, newReportState, type ReportState, writeReport } from "../report.ts";
import { type AskedCase, listCase, runOf } from "./asked_case.ts";
import { readsAhead } from "./read_ahead.ts";

export interface Predictor extends AsyncDisposable {
  readonly engine: ChosenEngine;
  /** Bytes that a model has of the engine at the moment. */
  heldBytes(model: Model): number;
  /** Predictions must not overlap. */
  predict(asked: AskedCase): Promise<Prediction>;
}

export type Prediction =
  | { readonly kind: "done"; readonly state: ReportState }
  | { readonly kind: "failed"; readonly error: UserError };

export interface PredictorOptions {
  readonly wish: EngineWish;
  readonly maxMemory?: number;
  /** For reports. */
  readonly commandLine: readonly string[];
  readonly hooks: Required<StartHooks>;
}

/** Starts the engine. @throws UserError if the one that is wanted cannot be had */
export async function openPredictor({ wish, maxMemory, commandLine, hooks }: PredictorOptions): Promise<Predictor> {
  const { engines, kept } = await openResident({ wish, maxMemory, hooks });
  const digestsOf = rememberDigests();
  const ahead = readsAhead(kept);

  async function predict(asked: AskedCase, state: ReportState): Promise<Prediction> {
    const { model } = asked;
    state.model = model;
    const taken = await ahead.take(asked.key);
    const listed = taken?.listed ?? await listCase(asked);
    state.warnings.push(...listed.warnings);
    const { files } = listed.one;
    const { failed, steps } = await kept.predict(model, {
      ...runOf(asked, listed),
      ...(taken?.ahead && { ahead: taken.ahead }),
    }, {
      signal: asked.signal,
      onEvent(event) {
        if (event.kind === "done") state.done.push(event.record);
        if (event.kind === "precision") {
          state.precision = event.precision;
          state.precisionReason = event.why;
        }
        asked.onEvent?.(event);
        ahead.look(asked, event);
      },
    });
    const current = engines.current;
    state.engine = current.engine;
    state.engineReason = current.reason;
    state.steps = steps;
    state.failed.push(...failed);
    if (asked.report !== undefined) {
      await writeReport(asked.report, state, failed.length ? "some cases failed" : "done");
    }
    return failed.length > 0 ? { kind: "failed", error: naming(files, failed[0].error) } : { kind: "done", state };
  }

  return {
    get engine() {
      return engines.current;
    },
    heldBytes: kept.heldBytes,
    async predict(asked) {
      const { model, report } = asked;
      const state = newReportState(commandLine, report === undefined ? undefined : await digestsOf(model));
      try {
        return await predict(asked, state);
      } catch (error) {
        if (error instanceof Interrupted || !(error instanceof UserError)) throw error;
        if (report !== undefined) {
          await writeReport(report, state, "failed", { ...error.parts, message: error.message });
        }
        return { kind: "failed", error };
      }
    },
    async [Symbol.asyncDispose]() {
      await kept[Symbol.asyncDispose]();
      await engines[Symbol.asyncDispose]();
    },
  };
}

/** Errors about a case as a whole know no file: then all of the case's are named. */
function naming(files: readonly string[], error: UserErrorParts): UserError {
  return new UserError({ ...error, file: error.file ?? files.join(", ") });
}

/** Checksums of the program and of models, taken once. */
function rememberDigests() {
  let program: ReturnType<typeof programDigest> | undefined;
  const models = new Map<Model, ReturnType<typeof describeModel>>();
  return async (model: Model) => {
    program ??= programDigest();
    const described = models.get(model) ?? describeModel(model);
    models.set(model, described);
    return { program: await program, model: await described };
  };
}

/** The report's name beside a job's segmentation. */
export const REPORT = "report.json";

/** Where a case's results are, beside its segmentation. */
export function resultFiles(folder: string, caseId: string, fileEnding: string) {
  const segmentation = join(folder, `${caseId}${fileEnding}`);
  const { npz, pkl } = probabilityPaths(segmentation, fileEnding);
  return {
    ...filesByFormat(segmentation, fileEnding),
    segmentation,
    probabilities: npz,
    properties: pkl,
    spacing: spacingFileOfLabels(segmentation),
    view_image: join(folder, `${caseId}.view_image.nii.gz`),
    view_labels: join(folder, `${caseId}.view_labels.nii.gz`),
  };
}

/** Where a segmentation is in each other format that may be asked for. */
export function filesByFormat(segmentation: string, fileEnding: string): Readonly<Record<OutputFormat, string>> {
  const files = outputsBeside(segmentation, fileEnding, OUTPUT_FORMATS).map(({ format, file }) => [format, file]);
  return Object.fromEntries(files) as Record<OutputFormat, string>;
}
