/** A thread whose GPU is gone for good after its first submissions. */
/// <reference lib="deno.worker" />
import { answerRuns, type GpuThreadPort } from "../../cli/gpus/answer_runs.ts";

const { requestDevice } = GPUAdapter.prototype;
const { submit } = GPUQueue.prototype;
let submissions = 0;
GPUAdapter.prototype.requestDevice = async function (descriptor) {
  if (submissions >= 3) throw new Error("the GPU has fallen off the bus");
  const device = await requestDevice.call(this, descriptor);
  GPUQueue.prototype.submit = function (buffers) {
    submit.call(this, buffers);
    if (++submissions === 3) setTimeout(() => device.destroy());
  };
  return device;
};

answerRuns(self as GpuThreadPort);
