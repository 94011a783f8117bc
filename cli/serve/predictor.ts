/** What does the jobs: models that stay loaded on the engine that predict would choose. */
import { Interrupted, UserError, type UserErrorParts } from "../../core/base/errors.ts";
import { join } from "../../core/base/path.ts";
import { caseOfFiles, expectedInput, listInputCases } from "../../core/dataset/input_cases.ts";
import type { Model } from "../../core/predict/model/model_folder.ts";
import { probabilityPaths } from "../../core/predict/run/output_folder.ts";
import type { PredictionEvent } from "../../core/predict/run/request.ts";
import { openResident } from "../engines/resident.ts";
import type { ChosenEngine, EngineWish, StartHooks } from "../engines/select_engine.ts";
import { programDigest } from "../program_digest.ts";
import { describeModel, newReportState, type ReportState, writeReport } from "../report.ts";
import type { JobOptions } from "./job.ts";

export interface Predictor extends AsyncDisposable {
  readonly engine: ChosenEngine;
  /** Bytes that a model has of the engine at the moment. */
  heldBytes(model: Model): number;
  /** Predictions must not overlap. */
  predict(asked: AskedCase): Promise<Prediction>;
}

/** A case that is to be predicted. */
export interface AskedCase {
  readonly model: Model;
  readonly options: JobOptions;
  /** In channel order. */
  readonly files: readonly string[];
  /** Instead of `files`: a folder of DICOM, of one study. */
  readonly study?: string;
  /** The segmentation to write; its name ends as the model's files do. */
  readonly output: string;
  /** Where a report is written, if one is. */
  readonly report?: string;
  readonly onEvent?: (event: PredictionEvent) => void;
  readonly signal: AbortSignal;
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

  async function predict(asked: AskedCase, state: ReportState): Promise<Prediction> {
    const { model, options } = asked;
    state.model = model;
    const expected = expectedInput(model.dataset, model.plans.reader);
    const listed = asked.study === undefined
      ? await caseOfFiles(asked.files, expected)
      : await listInputCases(asked.study, expected);
    if (listed.failures.length > 0) throw listed.failures[0];
    state.warnings.push(...listed.warnings);
    const { cases: [{ id, files }] } = listed;
    const { failed, steps } = await kept.predict(model, {
      cases: [{ id, files, output: asked.output }],
      options: {
        stepSize: options.step_size,
        mirroring: !options.disable_tta,
        saveProbabilities: options.save_probabilities,
        nonFinite: options.nan ?? "refuse",
        checksums: asked.report !== undefined,
      },
    }, {
      signal: asked.signal,
      onEvent(event) {
        if (event.kind === "done") state.done.push(event.record);
        if (event.kind === "precision") {
          state.precision = event.precision;
          state.precisionReason = event.why;
        }
        asked.onEvent?.(event);
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

/** Where a case's results are, beside its segmentation. */
export function resultFiles(folder: string, caseId: string, fileEnding: string) {
  const segmentation = join(folder, `${caseId}${fileEnding}`);
  const { npz, pkl } = probabilityPaths(segmentation, fileEnding);
  return {
    segmentation,
    probabilities: npz,
    properties: pkl,
    view_image: join(folder, `${caseId}.view_image.nii.gz`),
    view_labels: join(folder, `${caseId}.view_labels.nii.gz`),
  };
}
