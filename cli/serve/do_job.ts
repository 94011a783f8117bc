/** From a job's record to its outcome, by the predictor. */
import { ensureFolder, writeAll, writeAtomically } from "../../core/base/files.ts";
import { basename, join } from "../../core/base/path.ts";
import type { ReaderName } from "../../core/formats/image/image.ts";
import { readerClass } from "../../core/formats/image/readers.ts";
import type { CaseRecord, PredictionEvent } from "../../core/predict/run/request.ts";
import { UserError } from "../../core/base/errors.ts";
import { packViewImage, packViewLabels } from "../viewing/view_volumes.ts";
import { requireAllowed } from "./allowed_paths.ts";
import type { NamedCase } from "./asked_case.ts";
import { givenUp, jobError, type JobRecord, type ResultPart } from "./job.ts";
import type { DoJob, JobHooks, Outcome } from "./job_queue.ts";
import type { JobStore } from "./job_store.ts";
import { type Predictor, REPORT, resultFiles } from "./predictor.ts";
import type { ServedModel, ServedModels } from "./served_models.ts";

/** @param roots Real paths of folders whose images may be named */
export function doJobs(
  store: JobStore,
  models: ServedModels,
  predictor: Predictor,
  roots: readonly string[],
): DoJob {
  const work: DoJob = async (record, hooks) => {
    const served = models.find(record.model);
    if (!served) {
      const problem = `the model ${record.model} is not served any more`;
      return { state: "failed", error: givenUp("looking for the model", problem, "send it for another model") };
    }
    const folder = store.folderOf(record.id);
    await ensureFolder(join(folder, "result"), "making the folder of results");
    const files = filesOf(folder, record, served);
    const prediction = await predictor.predict({
      ...namedCase(folder, record, served, roots),
      next() {
        const next = hooks.next();
        const model = next && models.find(next.model);
        return model && namedCase(store.folderOf(next.id), next, model, roots);
      },
      onEvent: progressOf(hooks),
      signal: hooks.signal,
    });
    if (prediction.kind === "failed") throw prediction.error;
    const [done] = prediction.state.done;
    const hasView = record.view === true && await keepView(served.model.plans.reader, done, files, hooks);
    const hasSpacing = readerClass(served.model.plans.reader).geometry === "spacing";
    const { firstStageSeconds } = prediction;
    const outcome = outcomeOf(done, record, files, { hasView, hasSpacing });
    if (firstStageSeconds === undefined) return outcome;
    return { ...outcome, seconds: { first_stage: firstStageSeconds, ...done.timings } };
  };
  return async (record, hooks) => {
    try {
      return await work(record, hooks);
    } catch (error) {
      // Of its images, of the model's files, or of the disk that results go to.
      if (!(error instanceof UserError)) throw error;
      return { state: "failed", error: jobError(error.parts, error.message, store.folderOf(record.id)) };
    }
  };
}

function filesOf(folder: string, record: JobRecord, { model }: ServedModel) {
  return resultFiles(join(folder, "result"), record.case, model.dataset.fileEnding);
}

function namedCase(folder: string, record: JobRecord, served: ServedModel, roots: readonly string[]): NamedCase {
  return {
    key: record.id,
    model: served.model,
    ...(served.firstStage && {
      firstStage: { model: served.firstStage.model, folder: join(folder, "images", "first_stage") },
    }),
    options: record.options,
    details: served.details,
    files: record.received ? record.files.map((name) => join(folder, "images", name)) : record.files,
    ...(!record.received && { check: () => requireAllowed(record.files, roots) }),
    ...(record.isStudy && { study: join(folder, "images", record.case) }),
    output: filesOf(folder, record, served).segmentation,
    report: join(folder, "result", REPORT),
  };
}

/** Tells how much is done, and for how long it will go on: by the forecast at first, then by what was done. */
function progressOf({ onProgress }: JobHooks): (event: PredictionEvent) => void {
  let begun = 0;
  return (event) => {
    if (event.kind === "case") {
      begun = performance.now();
      onProgress(undefined, event.forecastSeconds);
    }
    if (event.kind !== "progress") return;
    const { done, of } = event;
    onProgress({ done, of }, (performance.now() - begun) / 1000 / done * (of - done));
  };
}

/** Keeps what the page shows. @returns False where there is no room for it: the segmentation is made all the same */
async function keepView(
  reader: ReaderName,
  { files: [image] }: CaseRecord,
  { segmentation, view_image, view_labels }: Readonly<Record<ResultPart, string>>,
  { signal }: JobHooks,
): Promise<boolean> {
  try {
    const options = { doing: "writing the image for the viewer", signal };
    await writeAtomically(view_image, async (file) => {
      await packViewImage(reader, image, (bytes) => writeAll(file, bytes));
    }, options);
    await writeAtomically(view_labels, async (file) => {
      await packViewLabels(reader, segmentation, (bytes) => writeAll(file, bytes));
    }, options);
    return true;
  } catch (error) {
    if (error instanceof UserError) return false;
    throw error;
  }
}

function outcomeOf(
  { labels, timings }: CaseRecord,
  { options }: JobRecord,
  files: Readonly<Record<ResultPart, string>>,
  { hasView, hasSpacing }: { readonly hasView: boolean; readonly hasSpacing: boolean },
): Outcome {
  const { segmentation, probabilities, properties, spacing, view_image, view_labels } = files;
  return {
    state: "done",
    labels: [...labels],
    seconds: { ...timings },
    results: {
      segmentation: basename(segmentation),
      ...Object.fromEntries(options.output_format?.map((format) => [format, basename(files[format])]) ?? []),
      ...(options.save_probabilities && {
        probabilities: basename(probabilities),
        properties: basename(properties),
      }),
      ...(hasSpacing && { spacing: basename(spacing) }),
      ...(hasView && { view_image: basename(view_image), view_labels: basename(view_labels) }),
    },
  };
}
