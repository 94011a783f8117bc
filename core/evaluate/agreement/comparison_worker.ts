/** A thread that compares segmentations with another program's. Started from one static URL so that bundlers find it. */
/// <reference lib="deno.worker" />
import { answerJobs, type JobPort } from "../../base/worker_thread.ts";
import { compareCase } from "./compare_case.ts";

answerJobs(self as JobPort, () => compareCase);
