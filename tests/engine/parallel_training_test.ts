/** A training on two GPUs. Without an adapter it is skipped, unless NNUNET_TEST_GPU=required. */
import { startParallelTraining } from "../../core/train/parallel/parallel_training.ts";
import { requestAdapter } from "../../gpu/adapter.ts";
import { createGpuEngine } from "../../gpu/engine.ts";
import { UserError } from "../../core/base/errors.ts";
import { assertEquals, assertFails } from "../assert.ts";
import { assertAlike, OPTIONS, shareThreads, smallTraining, train } from "./parallel_harness.ts";

const required = Deno.env.get("NNUNET_TEST_GPU") === "required";
const ignore = !required && await requestAdapter() === null;

Deno.test({ name: "Two GPUs train as one does, and the same again to the bit", ignore }, async () => {
  await using one = await createGpuEngine(OPTIONS);
  await using two = await startParallelTraining(one, shareThreads(2));
  const training = smallTraining(3, true);
  const first = await train(two, training);
  assertAlike(first, await train(one, training));
  assertEquals(await train(two, training), first);
});

Deno.test({
  name: "Where one of several GPUs has no memory for its share, that is said as of one GPU alone",
  ignore,
}, async () => {
  await using one = await createGpuEngine(OPTIONS);
  const small = { ...shareThreads(1)[0], setting: { ...OPTIONS, memoryLimitBytes: 2 ** 14 } };
  await using two = await startParallelTraining(one, [...shareThreads(1), small]);
  await assertFails(() => train(two, smallTraining(2, true)), UserError, "Allocating GPU memory", "of at most");
});
