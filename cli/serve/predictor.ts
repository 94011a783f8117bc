/** What does the jobs: models that stay loaded on the engine that predict would choose. */
import { Interrupted, UserError, type UserErrorParts } from "../../core/base/errors.ts";
import { join } from "../../core/base/path.ts";
import { caseOfPaths, expectedInput, listInputCases } from "../../core/dataset/input_cases.ts";
import { readerClass } from "../../core/formats/image/readers.ts";
import { spacingFileOfLabels } from "../../core/formats/image/tiff/spacing_file.ts";
import type { Model } from "../../core/predict/model/model_folder.ts";
import { isSeries, noSource, type ObjectDetails } from "../../core/predict/run/case_outputs.ts";
import { OUTPUT_FORMATS, type OutputFormat, refersToSource } from "../../core/predict/run/output_formats.ts";
import { probabilityPaths } from "../../core/predict/run/output_folder.ts";
import type { CaseToPredict, PredictionEvent } from "../../core/predict/run/request.ts";
import { openResident } from "../engines/resident.ts";
import type { ChosenEngine, EngineWish, StartHooks } from "../engines/select_engine.ts";
import { objectDetails, outputsBeside, refuseSlices } from "../output_files.ts";
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
  /** In channel order; or folders of DICOM. */
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
      ? await caseOfPaths(asked.files, expected)
      : await listInputCases(asked.study, expected);
    if (listed.failures.length > 0) throw listed.failures[0];
    state.warnings.push(...listed.warnings);
    const { cases: [{ id, files }] } = listed;
    const one = { id, files, ...outputsOf(asked, files) };
    await refuseSlices([one]);
    const details = await detailsOf(asked, (line) => state.warnings.push(line));
    const { failed, steps } = await kept.predict(model, {
      cases: [one],
      ...(details && { details }),
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

/**
 * The files of a case. @param files Its images
 * @throws UserError if they can't be written in a format that is asked for
 */
function outputsOf(
  { model, options: { output_format: formats = [] }, output }: AskedCase,
  files: readonly string[],
): Pick<CaseToPredict, "output" | "outputs"> {
  const { dataset: { fileEnding }, plans: { reader } } = model;
  if (formats.length > 0 && readerClass(reader).geometry === "picture") {
    throw new UserError({
      doing: "choosing the output format",
      problem: `output_format (${formats.join(", ")}) is for volumes, and this model's images are pictures (${reader})`,
      remedy: `leave it out: segmentations are written as ${fileEnding}`,
    });
  }
  if (formats.some(refersToSource) && !isSeries(files)) throw noSource(files[0]);
  const outputs = outputsBeside(output, fileEnding, formats).filter(({ file }) => file !== output);
  return { output, ...(outputs.length > 0 && { outputs }) };
}

/** What DICOM objects say; undefined where none is asked for. */
async function detailsOf(
  { model: { dataset, plans, configuration }, options: { output_format: outputFormats } }: AskedCase,
  warn: (line: string) => void,
): Promise<ObjectDetails | undefined> {
  if (!outputFormats?.some(refersToSource)) return undefined;
  const name = `${plans.datasetName}, ${configuration.name}`;
  return await objectDetails(
    { outputFormats, segmentCodes: undefined },
    dataset,
    { dataset: plans.datasetName, name },
    warn,
  );
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
