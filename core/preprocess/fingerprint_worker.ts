/** A thread that reads and analyses training cases, one at a time. Started from one static URL so that bundlers find it. */
/// <reference lib="deno.worker" />
import { answerJobs, type JobPort } from "../base/worker_thread.ts";
import { analyseCase, transferablesOf } from "./fingerprint_case.ts";

answerJobs(self as JobPort, () => analyseCase, transferablesOf);
