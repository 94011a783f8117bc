/** As parallel_worker.ts, of a GPU that fails in the third wait for what it computes. */
/// <reference lib="deno.worker" />
import { answerJobs, type JobPort } from "../../core/base/worker_thread.ts";
import { buffersOf, serveShare } from "../../core/train/parallel/share_jobs.ts";
import { createGpuEngine, type GpuEngineOptions } from "../../gpu/engine.ts";

export interface FailingGpu extends GpuEngineOptions {
  /** "hangs": its driver never comes back. "ends": the thread does, as one whose heap is full. */
  readonly fails: "hangs" | "is lost" | "ends";
}

function failBy({ fails }: FailingGpu, device: GPUDevice): void {
  if (fails === "hangs") Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  if (fails === "is lost") device.destroy();
  if (fails === "ends") {
    setTimeout(() => {
      throw new RangeError("the heap is full");
    });
  }
}

async function open(options: FailingGpu) {
  const engine = await createGpuEngine(options);
  const { mapAsync } = GPUBuffer.prototype;
  let waits = 0;
  GPUBuffer.prototype.mapAsync = async function (...args) {
    if (++waits === 3) failBy(options, engine.device);
    return await mapAsync.apply(this, args);
  };
  return engine;
}

answerJobs(self as JobPort, (options: FailingGpu) => serveShare({ open: () => open(options) }), buffersOf);
