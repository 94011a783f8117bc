/** As cli/gpus/fold_worker.ts, of a GPU that is gone for good once a checkpoint is written, or that hangs then. */
/// <reference lib="deno.worker" />
import { answerFold, type FoldThreadPort } from "../../cli/gpus/answer_fold.ts";
import type { FromFoldThread } from "../../cli/gpus/fold_messages.ts";

const hangs = new URL(import.meta.url).hash === "#hangs";
const { requestDevice } = GPUAdapter.prototype;
let last: GPUDevice | undefined;
let isGone = false;
GPUAdapter.prototype.requestDevice = async function (descriptor) {
  if (isGone) throw new Error("the GPU has fallen off the bus");
  return (last = await requestDevice.call(this, descriptor));
};

const port = self as FoldThreadPort;
const send = port.postMessage.bind(port);
port.postMessage = (message: FromFoldThread) => {
  send(message);
  if (message.kind !== "saved") return;
  if (hangs) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  isGone = true;
  last?.destroy();
};
answerFold(port);
