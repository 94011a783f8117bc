/** Folds trained on several GPUs, of which one is lost or hangs: the others go on. */
import { join } from "../../core/base/path.ts";
import { main } from "../../cli/main.ts";
import { chooseGpus } from "../../cli/engines/choose_gpus.ts";
import { listGpus } from "../../cli/engines/list_gpus.ts";
import { trainBeside } from "../../cli/gpus/fold_thread.ts";
import { trainingLane } from "../../core/train/training_memory.ts";
import {
  makeCascadePlans,
  makeRecipeDataset,
  RECIPE_DATASET,
  recipeEnvironment,
} from "../golden/cli/recipe_dataset.ts";
import { checkpointContent, inFolder, listening, makePreprocessed, trainRequest } from "../unit/train_fixture.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";
import { captureOutput, useGpuCache } from "../engine/gpu_cache.ts";
import { ignore } from "../without_gpu.ts";

/** The first `count` threads for folds that are started from now on are those of GPUs that fail. */
function failThreads(count: number, how: "" | "#hangs" = ""): Disposable {
  const { Worker } = globalThis;
  let left = count;
  globalThis.Worker = class extends Worker {
    constructor(script: string | URL, options?: WorkerOptions) {
      const fails = String(script).endsWith("fold_worker.ts") && left-- > 0;
      super(fails ? new URL(`./failing_fold_worker.ts${how}`, import.meta.url) : script, options);
    }
  };
  return { [Symbol.dispose]: () => void (globalThis.Worker = Worker) };
}

/** Runs a command with the environment of a recipe in `root`. */
async function run(root: string, args: readonly string[]) {
  const env = recipeEnvironment(root);
  for (const [name, value] of Object.entries(env)) Deno.env.set(name, value);
  try {
    using output = captureOutput();
    const code = await main(args);
    const lines = output.text.split("\n");
    const events = lines.filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
    const of = (name: string) => events.filter(({ event }) => event === name);
    return { code, text: output.text, folds: of("fold").map(({ fold, state }) => `${fold} ${state}`), of };
  } finally {
    for (const name of Object.keys(env)) Deno.env.delete(name);
  }
}

const FLAGS = ["-p", "tinyPlans", "--allow_software_gpu", "--sample-threads", "0", "--log", "json"]
  .concat("--epochs 2 --iterations 1 --seed 3".split(" "));

Deno.test({
  name: "a fold whose GPU is lost for good goes on on another one, with run and with train; without one it is named",
  ignore,
}, (t) =>
  inFolder(async (root) => {
    await using _cache = await useGpuCache();
    await makeRecipeDataset(root);
    await makeCascadePlans(root);
    const RUN = ["run", "7", "-c", "3d_fullres", ...FLAGS, "--disable_ensembling", "-device", "gpu"];
    const checkpoint = (name: string, fold: number) => {
      const model = join(
        recipeEnvironment(root).nnUNet_results,
        RECIPE_DATASET,
        `nnUNetTrainer_${name}__tinyPlans__3d_fullres`,
      );
      return checkpointContent(join(model, `fold_${fold}`, "checkpoint_final.pth"));
    };
    await t.step("run", async () => {
      using _failing = failThreads(1);
      const { code, text, folds, of } = await run(root, [...RUN, "--name", "one", "--gpus", "0,0"]);
      assertEquals(code, 0, text);
      assertEquals(folds.slice(0, 2).sort(), ["0 begun", "1 begun"]);
      assert(/^0 begun 0 done 1 done$|^0 done 1 begun 1 done$/.test(folds.slice(2).sort().join(" ")), `${folds}`);
      assertEquals(of("gpu_failed").map(({ isGone }) => isGone), [false]);
      assert(text.includes("GPU 0 failed, it goes on from its last checkpoint: "), text);
      // From the first epoch's checkpoint.
      assertEquals(of("epoch").map(({ fold, epoch }) => `${fold} ${epoch}`).sort(), ["0 1", "0 2", "1 1", "1 2"]);
    });
    const TRAIN = ["train", "7", "3d_fullres", ...FLAGS, "--folds", "0", "1", "--gpus", "0,0"];
    await t.step("train --folds", async () => {
      using _failing = failThreads(1);
      const { code, text, folds, of } = await run(root, [...TRAIN, "--name", "two", "-device", "gpu"]);
      assertEquals(code, 0, text);
      assertEquals(folds.slice(2).sort(), ["0 begun", "0 done", "1 done"]);
      assertEquals(of("epoch").map(({ fold, epoch }) => `${fold} ${epoch}`).sort(), ["0 1", "0 2", "1 1", "1 2"]);
      for (const fold of [0, 1]) assertEquals(await checkpoint("two", fold), await checkpoint("one", fold));
    });
    await t.step("no GPU that is left", async () => {
      using _failing = failThreads(Infinity);
      const { code, text, of } = await run(root, [...TRAIN, "--name", "three", "-device", "gpu"]);
      assertEquals(code, 1, text);
      assert(/these folds could not be trained: (0, 1|1, 0); the same command with --c/.test(text), text);
      assertEquals(of("gpu_failed").length, 4);
    });
    await t.step("no GPU that is left, and the CPU", async () => {
      for (const [name, line] of [["four", TRAIN], ["five", [...RUN, "--gpus", "0,0"]]] as const) {
        using _failing = failThreads(Infinity);
        const { code, text, folds } = await run(root, [...line, "--name", name, "--allow_cpu", "--threads", "1"]);
        assertEquals(code, 0, text);
        assert(/no GPU is left.*the CPU goes on \(--allow_cpu\)/.test(text), text);
        assertEquals(folds.filter((fold) => fold.endsWith("done")).sort(), ["0 done", "1 done"]);
      }
    });
  }));

Deno.test(
  { name: "a fold whose GPU hangs is ended, and its GPU not used any more", ignore },
  () =>
    inFolder(async (folder) => {
      await using _cache = await useGpuCache();
      const folders = await makePreprocessed(folder);
      const [gpu] = chooseGpus("0", await listGpus(), true);
      const { openEngine: _none, ...request } = trainRequest(folders, {
        changes: { epochs: 1, iterations: 1, name: "test" },
      });
      using _failing = failThreads(1, "#hangs");
      const flags = { allowSoftwareGpu: true, threads: 1, precision: "f32", sampleThreads: 0 } as const;
      await assertFails(
        () => trainBeside({ request, gpu, flags, lane: trainingLane(2) }, listening(), 9),
        Error,
        "it hangs: it has answered nothing for 0.2 minutes",
      );
    }),
);
