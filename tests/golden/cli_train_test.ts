/** `train` as a user runs it: a process of its own, stopped by a signal, a full disk, and its messages. */
import { join } from "../../core/base/path.ts";
import { openCheckpoint } from "../../core/formats/torch/torch_checkpoint.ts";
import { requestAdapter } from "../../gpu/adapter.ts";
import { assert, assertEquals } from "../assert.ts";
import { DATASET, type Folders, inFolder, makePreprocessed } from "../unit/train_fixture.ts";
import { interruptCommand, runCommand } from "./cli/run_command.ts";

const LINE = [
  "train",
  "1",
  "tiny",
  "0",
  "--iterations",
  "6",
  "--name",
  "x",
  "--seed",
  "5",
  "-device",
  "cpu",
  "--threads",
  "1",
];

function environment({ preprocessed, results }: Folders): Record<string, string> {
  return { nnUNet_preprocessed: join(preprocessed, ".."), nnUNet_results: join(results, "..") };
}

function foldFolder({ results }: Folders): string {
  return join(results, "nnUNetTrainer_x__nnUNetPlans__tiny", "fold_0");
}

Deno.test({
  name: "SIGTERM has a checkpoint written; --c goes on from it",
  ignore: Deno.build.os === "windows",
  fn: () =>
    inFolder(async (folder) => {
      const folders = await makePreprocessed(folder);
      const env = environment(folders);
      const stopped = await interruptCommand([...LINE, "--epochs", "3000"], "epoch 2/3000", "SIGTERM", { env });
      assertEquals(stopped.code, 1);
      assert(
        /stopped in epoch \d+ after \d+ of 6 steps; .*--c goes on from there/.test(stopped.stderr),
        stopped.stderr,
      );
      using checkpoint = await openCheckpoint(join(foldFolder(folders), "checkpoint_latest.pth"));
      const epoch = Number(checkpoint.members.get("current_epoch"));
      assert(epoch >= 1, String(epoch));
      // Messages count from 1, checkpoints from 0.
      assert(stopped.stderr.includes(`stopped in epoch ${epoch + 1} after`), stopped.stderr);

      const other = await runCommand([...LINE, "--c", "--epochs", "9"], { env });
      assertEquals(other.code, 1);
      assert(other.stderr.includes("--epochs 9, it was started with 3000"), other.stderr);
      const { stdout } = await interruptCommand([...LINE, "--c"], `epoch ${epoch + 2}/3000`, "SIGTERM", { env });
      const from = join(foldFolder(folders), "checkpoint_latest.pth");
      assert(stdout.includes(`continuing from ${from}: epoch ${epoch + 1}`), stdout);
    }),
});

Deno.test({
  name: "a full disk while a checkpoint is written leaves the one before whole",
  ignore: Deno.build.os === "windows",
  fn: () =>
    inFolder(async (folder) => {
      const folders = await makePreprocessed(folder);
      const env = environment(folders);
      const line = [...LINE, "--epochs", "2"];
      assertEquals((await runCommand(line, { env })).code, 0);
      const file = join(foldFolder(folders), "checkpoint_best.pth");
      const before = await Deno.readFile(file);
      const { code, stderr } = await runCommand([...line, "--seed", "6"], { env, fileLimit: 16384 });
      assertEquals(code, 1);
      assert(stderr.includes("Writing the checkpoint") && stderr.includes(file), stderr);
      assertEquals(await Deno.readFile(file), before);
      const names = await Array.fromAsync(Deno.readDir(foldFolder(folders)), ({ name }) => name);
      assertEquals(names.filter((name) => name.endsWith(".tmp")), []);
    }),
});

Deno.test("the engine is named once, though a memory limit has it opened again for the validation", () =>
  inFolder(async (folder) => {
    const env = environment(await makePreprocessed(folder));
    const { code, stdout, stderr } = await runCommand([...LINE, "--epochs", "1", "--max-memory", "4G"], { env });
    assertEquals(code, 0, stderr);
    assertEquals([...stdout.matchAll(/engine: /g)].length, 1, stdout);
    assert(stdout.includes("validation: mean Dice"), stdout);
  }));

Deno.test("command lines that make no training are refused with what to do", () =>
  inFolder(async (folder) => {
    const env = environment(await makePreprocessed(folder));
    const cases: readonly (readonly [line: readonly string[], code: number, part: string])[] = [
      [["train", "1", "tiny"], 2, "fold"],
      [["train", "1", "tiny", "x"], 2, "a number, 0 to 4, `all` or `array`"],
      [["train", "1", "tiny", "0", "-num_gpus", "1000"], 2, "1000 GPUs are asked for"],
      [["train", "1", "tiny", "0", "--c", "--val"], 2, "leave one of them out"],
      [["train", "1", "tiny", "0", "--c", "-pretrained_weights", "x"], 2, "leave one of them out"],
      [["train", "1", "tiny", "0", "--val"], 1, "checkpoint_final.pth"],
      [["train", "1", "tinny", "0"], 1, "Did you mean tiny?"],
    ];
    for (const [line, code, part] of cases) {
      const result = await runCommand(line, { env });
      assertEquals(result.code, code, result.stderr);
      assert(result.stderr.toLowerCase().includes(part.toLowerCase()), result.stderr);
    }
    // Not "--gpus names one": the variable names two.
    const two = { ...env, CUDA_VISIBLE_DEVICES: "2,3" };
    const several = await runCommand(["train", "1", "tiny", "0", "-num_gpus", "1000"], { env: two });
    assertEquals(several.code, 2, several.stderr);
    assert(several.stderr.includes("1000 GPUs are asked for"), several.stderr);
    assertEquals(await Deno.stat(join(env.nnUNet_results, DATASET)).then(() => true, () => false), false);
  }));

Deno.test("a trainer of the user's own in Python is refused as that, and Weights & Biases is said not to be used", () =>
  inFolder(async (folder) => {
    const env = environment(await makePreprocessed(folder));
    const external = { ...env, nnUNet_extTrainer: "/my/trainers" };
    const refused = await runCommand(["train", "1", "tiny", "0", "-tr", "nnUNetTrainerMine"], { env: external });
    assertEquals(refused.code, 2, refused.stderr);
    assert(refused.stderr.includes("nnUNet_extTrainer=/my/trainers, cannot be run here"), refused.stderr);
    const line = ["train", "1", "tiny", "0", "--val"];
    const { stdout } = await runCommand(line, { env: { ...env, nnUNet_wandb_enabled: "1" } });
    assert(stdout.includes("nothing is sent to Weights & Biases"), stdout);
  }));

const adapter = await requestAdapter();

Deno.test({
  name: "a training on the GPU, in f32 and f16, ends in a checkpoint and a validation",
  // A process of its own must find an adapter too; a software one will do.
  ignore: Deno.env.get("NNUNET_TEST_GPU") !== "required" && adapter === null,
  fn: () =>
    inFolder(async (folder) => {
      const folders = await makePreprocessed(folder);
      const line = LINE.slice(0, LINE.indexOf("-device"));
      for (const precision of adapter?.features.has("shader-f16") ? ["f32", "f16"] : ["f32"]) {
        const { code, stdout, stderr } = await runCommand(
          [...line, "--epochs", "2", "-device", "cuda", "--allow_software_gpu", "--precision", precision],
          { env: environment(folders) },
        );
        assertEquals(code, 0, stderr);
        assert(stdout.includes("engine: GPU, ") && stdout.includes("validation: mean Dice"), stdout);
        using checkpoint = await openCheckpoint(join(foldFolder(folders), "checkpoint_final.pth"));
        assertEquals(Number(checkpoint.members.get("current_epoch")), 2);
      }
    }),
});
