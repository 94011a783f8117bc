/** Trainings on two GPUs, the second of which fails on the way: the error names it, and all ends. */
import { UserError } from "../../core/base/errors.ts";
import { startParallelTraining } from "../../core/train/parallel/parallel_training.ts";
import { createGpuEngine } from "../../gpu/engine.ts";
import { assertFails } from "../assert.ts";
import { ignore } from "../without_gpu.ts";
import type { FailingGpu } from "./failing_parallel_worker.ts";
import { OPTIONS, shareThreads, smallTraining, train } from "./parallel_harness.ts";

/** Trains on two GPUs, the second failing. */
async function trainWith(fails: FailingGpu["fails"], patienceSeconds?: number): Promise<unknown> {
  await using one = await createGpuEngine(OPTIONS);
  const url = new URL("./failing_parallel_worker.ts", import.meta.url);
  const [good, other] = shareThreads(2).map((start) => ({ ...start, setting: { ...OPTIONS, fails } }));
  const bad = { ...other, startWorker: () => new Worker(url, { type: "module" }) };
  await using two = await startParallelTraining(one, [good, bad], { patienceSeconds });
  return await train(two, smallTraining(3, true, false));
}

Deno.test({ name: "Where the device of one of two GPUs is lost, the error says of which", ignore }, async () => {
  await assertFails(() => trainWith("is lost"), UserError, "the device was lost", "on GPU 1: ");
});

Deno.test({ name: "Where the thread of one of two GPUs ends, the error says of which", ignore }, async () => {
  await assertFails(() => trainWith("ends"), UserError, "on GPU 1: its thread ended (", "the heap is full", "--c");
});

Deno.test({
  name: "Where one of two GPUs hangs, the other and the program do not wait for it, and the error says which it is",
  ignore,
}, async () => {
  const found = "it hangs: it has answered nothing for 0.1 minutes";
  await assertFails(() => trainWith("hangs", 6), UserError, `Training on GPU 1: ${found}`, "--c");
});
