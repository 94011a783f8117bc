/** What does the jobs: models that stay loaded on the engine that predict would choose. */
import { UserError, type UserErrorParts } from "../../core/base/errors.ts";
import { join } from "../../core/base/path.ts";
import { spacingFileOfLabels } from "../../core/formats/image/tiff/spacing_file.ts";
import type { Model } from "../../core/predict/model/model_folder.ts";
import { OUTPUT_FORMATS, type OutputFormat } from "../../core/predict/run/output_formats.ts";
import { probabilityPaths } from "../../core/predict/run/output_folder.ts";
import type { CaseAhead } from "../../core/predict/run/resident_models.ts";
import { openResident, type Resident, type ResidentOptions } from "../engines/resident.ts";
import { outputsBeside } from "../output_files.ts";
import { newReportState, rememberDigests, type ReportOutcome, type ReportState, writeReport } from "../report.ts";
import { type AskedCase, firstRunOf, listCase, type ListedCase, runOf } from "./asked_case.ts";
import { readsAhead } from "./read_ahead.ts";

export interface Predictor extends AsyncDisposable {
  readonly engine: Resident["engine"];
  /** Bytes that a model has of the engine at the moment. */
  heldBytes(model: Model): number;
  /** How many predictions may overlap. */
  readonly places: number;
  predict(asked: AskedCase): Promise<Prediction>;
}

export type Prediction =
  /** `firstStageSeconds`: of a cascade. */
  | { readonly kind: "done"; readonly state: ReportState; readonly firstStageSeconds?: number }
  | { readonly kind: "failed"; readonly error: UserError };

export interface PredictorOptions extends ResidentOptions {
  /** For reports. */
  readonly commandLine: readonly string[];
}

/** Starts the engine. @throws UserError if the one that is wanted cannot be had */
export async function openPredictor({ commandLine, ...options }: PredictorOptions): Promise<Predictor> {
  const resident = await openResident(options);
  const { kept } = resident;
  const digestsOf = rememberDigests();
  const reading = readsAhead(kept);

  function noteEngine(state: ReportState): void {
    state.engine = resident.engine;
    state.engineReason = resident.engine.reason;
  }

  /** The first stage of a cascade. */
  async function predictFirst(asked: AskedCase, listed: ListedCase, ahead: CaseAhead | undefined) {
    if (!asked.firstStage) return undefined;
    const { model, run } = firstRunOf(asked, listed);
    return await kept.predict(model, { ...run, ...(ahead && { ahead }) }, {
      signal: asked.signal,
      onEvent(event) {
        if (event.kind === "case" || event.kind === "progress") asked.onEvent?.(event);
      },
    });
  }

  async function predict(asked: AskedCase, state: ReportState): Promise<Prediction> {
    const { model } = asked;
    state.model = model;
    const taken = await reading.take(asked.key);
    const listed = taken?.listed ?? await listCase(asked);
    // Listed some time ago, and not read.
    if (taken && !taken.ahead) await asked.check?.();
    state.warnings.push(...listed.warnings);
    const { files } = listed.one;
    const first = await predictFirst(asked, listed, taken?.ahead);
    if (first && first.failed.length > 0) {
      noteEngine(state);
      state.failed.push(...first.failed);
      return await ended(asked, state, files);
    }
    if (first) await asked.check?.();
    const ahead = first ? undefined : taken?.ahead;
    const { failed, steps } = await kept.predict(model, { ...runOf(asked, listed), ...(ahead && { ahead }) }, {
      signal: asked.signal,
      onEvent(event) {
        if (event.kind === "done") state.done.push(event.record);
        if (event.kind === "precision") {
          state.precision = event.precision;
          state.precisionReason = event.why;
        }
        asked.onEvent?.(event);
        reading.look(asked, event);
      },
    });
    noteEngine(state);
    state.steps = steps;
    state.failed.push(...failed);
    return await ended(asked, state, files, first?.seconds);
  }

  return {
    get engine() {
      return resident.engine;
    },
    places: resident.places,
    heldBytes: kept.heldBytes,
    async predict(asked) {
      const { model, report } = asked;
      const state = newReportState(commandLine, report === undefined ? undefined : await digestsOf(model));
      try {
        return await predict(asked, state);
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        await reportFailure(report, state, "failed", error);
        return { kind: "failed", error };
      }
    },
    [Symbol.asyncDispose]: () => resident[Symbol.asyncDispose](),
  };
}

async function ended(
  { report }: AskedCase,
  state: ReportState,
  files: readonly string[],
  firstStageSeconds?: number,
): Promise<Prediction> {
  const { failed: [failed] } = state;
  if (failed) {
    await reportFailure(report, state, "some cases failed");
    return { kind: "failed", error: naming(files, failed.error) };
  }
  if (report !== undefined) await writeReport(report, state, "done");
  return { kind: "done", state, ...(firstStageSeconds !== undefined && { firstStageSeconds }) };
}

/** Without a word where there is no room for it either: why the case has failed is told. */
async function reportFailure(
  path: string | undefined,
  state: ReportState,
  outcome: ReportOutcome,
  error?: UserError,
): Promise<void> {
  if (path === undefined) return;
  try {
    await writeReport(path, state, outcome, error && { ...error.parts, message: error.message });
  } catch (unwritten) {
    if (!(unwritten instanceof UserError)) throw unwritten;
  }
}

/** Errors about a case as a whole know no file: then all of the case's are named. */
function naming(files: readonly string[], error: UserErrorParts): UserError {
  return new UserError({ ...error, file: error.file ?? files.join(", ") });
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
