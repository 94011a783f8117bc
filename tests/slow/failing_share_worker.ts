/** As cli/engines/share_worker.ts, of a GPU whose device is lost in the third training step; opened again, only if it is said so. */
/// <reference lib="deno.worker" />
import { answerJobs, type JobPort } from "../../core/base/worker_thread.ts";
import { buffersOf, serveShare, type ShareJob } from "../../core/train/parallel/share_jobs.ts";
import { shareEngines, type ShareWish } from "../../cli/engines/training_gpus.ts";

const isAlways = new URL(import.meta.url).hash === "#always";
const { requestDevice } = GPUAdapter.prototype;
let last: GPUDevice | undefined;
GPUAdapter.prototype.requestDevice = async function (descriptor) {
  return (last = await requestDevice.call(this, descriptor));
};

answerJobs(self as JobPort, (wish: ShareWish) => {
  const run = serveShare(shareEngines(wish));
  let steps = 0;
  return async (job: ShareJob, signal, tell) => {
    if (job.kind === "trainStep" && ++steps === (wish.search ? 1 : 3) && (isAlways || !wish.search)) last?.destroy();
    return await run(job, signal, tell);
  };
}, buffersOf);
