/** A thread that averages probabilities, one case at a time. Started from one static URL so that bundlers find it. */
/// <reference lib="deno.worker" />
import { answerJobs, type JobPort } from "../base/worker_thread.ts";
import { ensembleCase, type EnsembledCase, type EnsembleJob } from "./ensemble_case.ts";
import { createLabelMemory } from "./label_memory.ts";

answerJobs(self as JobPort, () => {
  const memory = createLabelMemory();
  return (job: EnsembleJob): Promise<EnsembledCase> => ensembleCase(job, memory);
});
