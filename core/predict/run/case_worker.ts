/**
 * The thread that reads and preprocesses the next case and writes the previous one while the network works on the current one.
 * Jobs run one after the other, so that no two cases are unpacked at a time. It is started from one static URL so that bundlers
 * find it.
 */
/// <reference lib="deno.worker" />
import { answerJobs, type JobPort } from "../../base/worker_thread.ts";
import { collectGarbage } from "../../base/collect_garbage.ts";
import { type CaseJob, runCaseJob, transferables } from "./case_jobs.ts";

answerJobs(self as JobPort, () => runCaseJob, transferables, ({ kind }: CaseJob) => {
  // Whoever waits for the next case allocates nothing, so that the collector would not come round.
  if (kind === "export") collectGarbage();
});
