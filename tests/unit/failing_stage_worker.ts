/** A thread for cases of a next stage that has no engine; told so, it fails at each. */
/// <reference lib="deno.worker" />
import { answerJobs, type JobPort } from "../../core/base/worker_thread.ts";
import type { NextStageJob } from "../../core/train/next_stage_threads.ts";

answerJobs(self as JobPort, ({ fails }: { readonly fails: boolean }) => (job: NextStageJob, signal) => {
  if (job.kind === "predict" && (fails || signal.aborted)) return Promise.reject(new Error("the device is lost"));
  return Promise.resolve(undefined);
});
