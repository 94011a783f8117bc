/** As cli/gpus/fold_worker.ts, of a GPU that is gone for good once a checkpoint is written, or that hangs then. */
/// <reference lib="deno.worker" />
import { trainFold } from "../../cli/gpus/train_fold.ts";
import { answerJobs, type JobPort } from "../../core/base/worker_thread.ts";

const hangs = new URL(import.meta.url).hash === "#hangs";
const { requestDevice } = GPUAdapter.prototype;
let last: GPUDevice | undefined;
let isGone = false;
GPUAdapter.prototype.requestDevice = async function (descriptor) {
  if (isGone) throw new Error("the GPU has fallen off the bus");
  return (last = await requestDevice.call(this, descriptor));
};

answerJobs(self as JobPort, (): typeof trainFold => (job, signal, tell) =>
  trainFold(job, signal, (news) => {
    tell(news);
    if (news.kind !== "saved") return;
    if (hangs) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
    isGone = true;
    last?.destroy();
  }));
