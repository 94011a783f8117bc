/** Trainings on four GPUs. Without an adapter they are skipped, unless NNUNET_TEST_GPU=required. */
import { join } from "../../core/base/path.ts";
import { openCheckpoint } from "../../core/formats/torch/torch_checkpoint.ts";
import { startParallelTraining } from "../../core/train/parallel/parallel_training.ts";
import { createGpuEngine } from "../../gpu/engine.ts";
import { assert, assertEquals } from "../assert.ts";
import { interruptCommand, runCommand } from "../golden/cli/run_command.ts";
import { inFolder, makePreprocessed } from "../unit/train_fixture.ts";
import {
  assertAlike,
  OPTIONS,
  shareThreads,
  smallTraining,
  train,
  withBatchNorm,
  withTopK,
} from "../engine/parallel_harness.ts";
import { ignore } from "../without_gpu.ts";

Deno.test({
  name: "Four GPUs train as one does with Dice of each sample and of the batch, batch norm and TopK losses",
  ignore,
}, async () => {
  await using one = await createGpuEngine(OPTIONS);
  await using four = await startParallelTraining(one, shareThreads(4));
  const cases = [[4, false, true], [6, true, false], [5, false, false]] as const;
  for (const [batch, batchDice, ignores] of cases) {
    const training = smallTraining(batch, batchDice, ignores);
    assertAlike(await train(four, training), await train(one, training));
  }
  for (const training of [withBatchNorm(5), withTopK(6)]) {
    assertAlike(await train(four, training), await train(one, training));
  }
});

Deno.test({ name: "What four GPUs come to depends on no engine that was started before", ignore }, async () => {
  await using planner = await createGpuEngine(OPTIONS);
  const training = smallTraining(4, true, false);
  const run = async () => {
    await using engine = await startParallelTraining(planner, shareThreads(4));
    return await train(engine, training);
  };
  assertEquals(await run(), await run());
});

Deno.test(
  { name: "train -num_gpus 2 stopped goes on with one GPU to the weights that one alone comes to", ignore },
  () =>
    inFolder(async (folder) => {
      const folders = await makePreprocessed(folder);
      const env = {
        nnUNet_preprocessed: join(folders.preprocessed, ".."),
        nnUNet_results: join(folders.results, ".."),
      };
      const line = (name: string, gpus: number) =>
        `train 1 tiny 0 --name ${name} --seed 5 --epochs 40 --iterations 3 -device cuda --allow_software_gpu -num_gpus ${gpus}`
          .split(" ");
      const stopped = await interruptCommand(line("two", 2), "epoch 2/40", "SIGTERM", { env });
      assert(stopped.stdout.includes("training on 2 x GPU"), stopped.stdout);
      assert(stopped.stderr.includes("stopped in epoch"), stopped.stderr);
      for (const [name, flags] of [["two", ["--c"]], ["one", []]] as const) {
        const { code, stderr } = await runCommand([...line(name, 1), ...flags], { env });
        assertEquals(code, 0, stderr);
      }
      const final = async (name: string) => {
        const file = join(
          folders.results,
          `nnUNetTrainer_${name}__nnUNetPlans__tiny`,
          "fold_0",
          "checkpoint_final.pth",
        );
        using checkpoint = await openCheckpoint(file);
        return new Map(Array.from(checkpoint.weights, ([key, tensor]) => [key, tensor.read()]));
      };
      const [two, one] = [await final("two"), await final("one")];
      for (const [key, values] of one) {
        const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
        const worst = values.reduce(
          (most, value, i) => Math.max(most, Math.abs(value - (two.get(key)?.[i] ?? NaN))),
          0,
        );
        // After 120 steps of which each goes on from the rounding of the last.
        assert(worst <= 1e-3 * largest, `${key} differs by ${worst}, the largest is ${largest}`);
      }
    }),
);
