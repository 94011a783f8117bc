/** The script of a thread that trains one fold on an engine of its own. */
/// <reference lib="deno.worker" />
import { answerJobs, type JobPort } from "../../core/base/worker_thread.ts";
import { trainFold } from "./train_fold.ts";

answerJobs(self as JobPort, () => trainFold);
