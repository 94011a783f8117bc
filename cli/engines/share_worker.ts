/** The thread of a GPU that trains a share of every batch. Started from one static URL so that bundlers find it. */
/// <reference lib="deno.worker" />
import { answerJobs, type JobPort } from "../../core/base/worker_thread.ts";
import { buffersOf, serveShare } from "../../core/train/parallel/share_jobs.ts";
import { openGpu } from "./select_engine.ts";
import type { ShareWish } from "./training_gpus.ts";

answerJobs(self as JobPort, (wish: ShareWish) => serveShare(() => open(wish)), buffersOf);

async function open(wish: ShareWish) {
  // Never the CPU in a GPU's place: the others would wait for it in every step.
  const { engine } = await openGpu({ ...wish, device: "gpu", allowCpu: false }, "");
  return engine;
}
