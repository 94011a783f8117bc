/** Trainings on several GPUs by the command: their validations, and which GPUs CUDA_VISIBLE_DEVICES leaves them. */
import { join } from "../../core/base/path.ts";
import { type CommandResult, runCommand } from "../golden/cli/run_command.ts";
import { inFolder, makePreprocessed, tinyPlans } from "../unit/train_fixture.ts";
import { assert, assertEquals } from "../assert.ts";
import { useGpuCache } from "./gpu_cache.ts";
import { ignore } from "../without_gpu.ts";

const TRAIN = "train 1 tiny 0 --epochs 1 --iterations 1 --name v --seed 3 --sample-threads 0 --allow_software_gpu"
  .split(" ");

/** SHA-256 of the files of a folder. */
async function contentOf(folder: string): Promise<Record<string, string>> {
  const files: Record<string, string> = {};
  for await (const { name } of Deno.readDir(folder)) {
    const bytes = await Deno.readFile(join(folder, name));
    files[name] = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
  }
  return Object.fromEntries(Object.entries(files).sort());
}

/** Calls `run` with a command line's start, in an environment with a small dataset. */
async function withDataset(
  run: (train: (flags: string, variables?: Record<string, string>) => Promise<CommandResult>, fold: string) => Promise<
    void
  >,
): Promise<void> {
  await inFolder(async (folder) => {
    await using cache = await useGpuCache();
    const plans = tinyPlans() as { configurations: Record<string, Record<string, unknown>> };
    plans.configurations.tiny.next_stage = "second";
    plans.configurations.second = { inherits_from: "tiny", previous_stage: "tiny" };
    const { preprocessed, results } = await makePreprocessed(folder, { plans });
    const env = {
      nnUNet_preprocessed: join(preprocessed, ".."),
      nnUNet_results: join(results, ".."),
      NNUNET_CACHE: cache.folder,
    };
    const train = (flags: string, variables = {}) =>
      runCommand([...TRAIN, ...flags.split(" ")], { env: { ...env, ...variables } });
    await run(train, join(results, "nnUNetTrainer_v__nnUNetPlans__tiny", "fold_0"));
  });
}

Deno.test({
  name: "two GPUs share a validation's cases and those of a next stage, and write what one writes, byte for byte",
  ignore,
  fn: () =>
    withDataset(async (train, fold) => {
      const validation = join(fold, "validation");
      const nextStage = join(fold, "..", "predicted_next_stage", "second");
      const take = async () => {
        const written = [await contentOf(validation), await contentOf(nextStage)];
        for (const folder of [validation, nextStage]) await Deno.remove(folder, { recursive: true });
        return written;
      };
      const trained = await train("-device gpu -num_gpus 2 --npz --log json", { CUDA_VISIBLE_DEVICES: "0,1" });
      assertEquals(trained.code, 0, trained.stderr);
      assert(/validating on GPU 0, .*; GPU 0, .*WebGPU/.test(trained.stdout), trained.stdout);
      const afterTraining = await take();
      // Of 2 cases segmentations, probabilities and their properties, with the summary; and segmentations for the next stage.
      assertEquals(afterTraining.map((files) => Object.keys(files).length), [3 * 2 + 1, 2]);
      assert(!trained.stdout.includes("left out"), trained.stdout);

      const one = await train("-device gpu --val --npz");
      assertEquals(one.code, 0, one.stderr);
      assert(!one.stdout.includes("validating on"), one.stdout);
      assertEquals(await take(), afterTraining);

      const two = await train("-device gpu --val --npz --gpus 0,0 --log json");
      assertEquals(two.code, 0, two.stderr);
      assert(two.stdout.includes("validating on GPU 0, ") && !two.stdout.includes("left out"), two.stdout);
      assertEquals(await take(), afterTraining);
    }),
});

Deno.test({
  name: "CUDA_VISIBLE_DEVICES leaves a training the GPUs that it names, and what it cannot mean is refused",
  ignore,
  fn: () =>
    withDataset(async (train) => {
      const second = await train("-device cuda", { CUDA_VISIBLE_DEVICES: "1" });
      assertEquals(second.code, 0, second.stderr);
      assert(second.stdout.includes("engine: GPU, "), second.stdout);
      const refused: readonly (readonly [value: string, flags: string, code: number, part: string])[] = [
        ["0", "-device cuda -num_gpus 2", 2, "2 GPUs are asked for, and 1 can be used"],
        ["-1", "-device cuda -num_gpus 2", 2, "argument -num_gpus: CUDA_VISIBLE_DEVICES=-1 allows no GPU"],
        ["0,x", "-device cuda -num_gpus 2", 2, "CUDA_VISIBLE_DEVICES=0,x chooses the GPUs, and there is no x"],
        ["GPU-8f3a", "-device cuda", 2, "CUDA_VISIBLE_DEVICES=GPU-8f3a chooses the GPUs, and there is no GPU-8f3a"],
        ["", "-device gpu", 1, "CUDA_VISIBLE_DEVICES= allows no GPU"],
      ];
      for (const [CUDA_VISIBLE_DEVICES, flags, code, part] of refused) {
        const { stderr, ...result } = await train(`${flags} --c`, { CUDA_VISIBLE_DEVICES });
        assertEquals(result.code, code, stderr);
        assert(stderr.includes(part), stderr);
      }
      // The CPU may do it.
      const cpu = await train("-device auto --c", { CUDA_VISIBLE_DEVICES: "x" });
      assertEquals(cpu.code, 0, cpu.stderr);
      assert(cpu.stdout.includes("engine: CPU, "), cpu.stdout);
    }),
});
