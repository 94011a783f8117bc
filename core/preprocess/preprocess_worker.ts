/** A thread that preprocesses training cases, one at a time. Started from one static URL so that bundlers find it. */
/// <reference lib="deno.worker" />
import { answerJobs, type JobPort } from "../base/worker_thread.ts";
import { type PreprocessJob, type PreprocessSetting, runPreprocessJob } from "./preprocess_worker_job.ts";

answerJobs(self as JobPort, (setting: PreprocessSetting) => (job: PreprocessJob) => runPreprocessJob(setting, job));
