/** A thread that measures segmentations, one case at a time. Started from one static URL so that bundlers find it. */
/// <reference lib="deno.worker" />
import { answerJobs, type JobPort } from "../base/worker_thread.ts";
import { measureCase } from "./measure_case.ts";

answerJobs(self as JobPort, () => measureCase);
