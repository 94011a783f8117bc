/** A thread that measures or filters segmentations, one case at a time. Started from one static URL so that bundlers find it. */
/// <reference lib="deno.worker" />
import { answerJobs, type JobPort } from "../base/worker_thread.ts";
import { filterCase, type FilterJob, type FilterOutcome } from "./filter_case.ts";
import { buffersOfCase, measureCase, type MeasuredCase, type MeasurementJob } from "./measure_case.ts";

answerJobs(
  self as JobPort,
  () => async (job: MeasurementJob | FilterJob): Promise<MeasuredCase | FilterOutcome> =>
    job.kind === "measure" ? await measureCase(job) : await filterCase(job),
  (result) => "graph" in result ? buffersOfCase(result) : [],
);
