/** A training on two GPUs. Without an adapter it is skipped, unless NNUNET_TEST_GPU=required. */
import { startParallelTraining } from "../../core/train/parallel/parallel_training.ts";
import { createGpuEngine } from "../../gpu/engine.ts";
import { prepareTraining } from "../../core/cases/training.ts";
import { UserError } from "../../core/base/errors.ts";
import { assertEquals, assertFails } from "../assert.ts";
import {
  assertAlike,
  OPTIONS,
  shareThreads,
  smallTraining,
  STEP,
  train,
  withBatchNorm,
  withTopK,
} from "./parallel_harness.ts";
import { ignore } from "../without_gpu.ts";

Deno.test({
  name: "Two GPUs train as one does, and the same again to the bit; where one overflows none makes the step",
  ignore,
}, async () => {
  await using one = await createGpuEngine(OPTIONS);
  await using two = await startParallelTraining(one, shareThreads(2));
  const training = smallTraining(3, true, true);
  const first = await train(two, training);
  assertAlike(first, await train(one, training));
  assertEquals(await train(two, training), first);
  // The last sample is the second GPU's alone.
  using program = await prepareTraining(two, training, "f32");
  const [before, patch] = [await two.readParameters(program), 4 * 8 * 4];
  two.setSample(program, 2, new Float32Array(patch).fill(Infinity), new Int16Array(patch));
  assertEquals((await two.trainStep(program, STEP)).skipped, true);
  assertEquals(await two.readParameters(program), before);
  const alone = smallTraining(3, false, false);
  assertAlike(await train(two, alone), await train(one, alone));
});

Deno.test({
  name:
    "Two GPUs train as one does with batch norm, whose moments are the batch's, and on the largest cross-entropies of all",
  ignore,
}, async () => {
  await using one = await createGpuEngine(OPTIONS);
  await using two = await startParallelTraining(one, shareThreads(2));
  for (const training of [withBatchNorm(3), withTopK(3), withTopK(3, withBatchNorm(3))]) {
    const first = await train(two, training);
    assertAlike(first, await train(one, training));
    assertEquals(await train(two, training), first);
  }
});

Deno.test({
  name: "Where one of several GPUs has no memory for its share, that is said as of one GPU alone",
  ignore,
}, async () => {
  await using one = await createGpuEngine(OPTIONS);
  const [large, small] = shareThreads(2);
  const setting = { ...OPTIONS, memoryLimitBytes: 2 ** 14 };
  await using two = await startParallelTraining(one, [large, { ...small, setting }]);
  await assertFails(() => train(two, smallTraining(2, true, true)), UserError, "gradients, on GPU 1", "of at most");
});
