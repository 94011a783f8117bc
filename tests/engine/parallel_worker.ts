/** As cli/engines/share_worker.ts, on an engine made with the given options. */
/// <reference lib="deno.worker" />
import { answerJobs, type JobPort } from "../../core/base/worker_thread.ts";
import { buffersOf, serveShare } from "../../core/train/parallel/share_jobs.ts";
import { createGpuEngine, type GpuEngineOptions } from "../../gpu/engine.ts";

answerJobs(
  self as JobPort,
  (options: GpuEngineOptions) => serveShare({ open: () => createGpuEngine(options) }),
  buffersOf,
);
