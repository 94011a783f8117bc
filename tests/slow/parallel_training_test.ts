/** Trainings on four GPUs. Without an adapter they are skipped, unless NNUNET_TEST_GPU=required. */
import { startParallelTraining } from "../../core/train/parallel/parallel_training.ts";
import { requestAdapter } from "../../gpu/adapter.ts";
import { createGpuEngine } from "../../gpu/engine.ts";
import { assertEquals } from "../assert.ts";
import { assertAlike, OPTIONS, shareThreads, smallTraining, train } from "../engine/parallel_harness.ts";

const required = Deno.env.get("NNUNET_TEST_GPU") === "required";
const ignore = !required && await requestAdapter() === null;

Deno.test({ name: "Four GPUs train as one does with Dice of each sample, and of the batch", ignore }, async () => {
  await using one = await createGpuEngine(OPTIONS);
  await using four = await startParallelTraining(one, shareThreads(4));
  for (const [batch, batchDice] of [[4, false], [6, true]] as const) {
    const training = smallTraining(batch, batchDice);
    assertAlike(await train(four, training), await train(one, training));
  }
});

Deno.test({ name: "What four GPUs come to depends on no engine that was started before", ignore }, async () => {
  await using planner = await createGpuEngine(OPTIONS);
  const training = smallTraining(4, true);
  const run = async () => {
    await using engine = await startParallelTraining(planner, shareThreads(4));
    return await train(engine, training);
  };
  assertEquals(await run(), await run());
});
