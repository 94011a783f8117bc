/** `run` on several GPUs, of one process: each trains a fold. */
import { join } from "../../core/base/path.ts";
import {
  makeCascadePlans,
  makeRecipeDataset,
  RECIPE_DATASET,
  recipeEnvironment,
} from "../golden/cli/recipe_dataset.ts";
import { inTempFolder, runCommand } from "../golden/cli/run_command.ts";
import { checkpointContent } from "../unit/train_fixture.ts";
import { assert, assertEquals } from "../assert.ts";
import { useGpuCache } from "./gpu_cache.ts";
import { ignore } from "../without_gpu.ts";

const RUN = ["run", "7", "-p", "tinyPlans", "-c", "3d_fullres", "-device", "gpu", "--allow_software_gpu"]
  .concat("--epochs 1 --iterations 2 --seed 3 --sample-threads 0 --disable_ensembling".split(" "));

Deno.test({
  name:
    "run trains two folds at a time on two GPUs, to the weights that one GPU comes to, and says which trained which",
  ignore,
  fn: () =>
    inTempFolder(async (root) => {
      await using cache = await useGpuCache();
      await makeRecipeDataset(root);
      await makeCascadePlans(root);
      const env = { ...recipeEnvironment(root), NNUNET_CACHE: cache.folder };
      const two = await runCommand([...RUN, "--name", "two", "--gpus", "0,0", "--log", "json"], { env });
      assertEquals(two.code, 0, two.stderr);
      const events = two.stdout.trim().split("\n").map((line) => JSON.parse(line));
      const folds = events.filter(({ event }) => event === "fold").map(({ fold, state, gpu }) =>
        `${fold} ${state} ${gpu}`
      );
      assertEquals(folds.slice(0, 2).sort(), ["0 begun 0", "1 begun 0"]);
      assertEquals(folds.slice(2).sort(), ["0 done 0", "1 done 0"]);
      assertEquals(events.filter(({ event }) => event === "epoch").map(({ fold, gpu }) => `${fold} ${gpu}`).sort(), [
        "0 0",
        "1 0",
      ]);
      assert(events.some(({ event }) => event === "best"));

      const one = await runCommand([...RUN, "--name", "one"], { env });
      assertEquals(one.code, 0, one.stderr);
      const trained = async (name: string, fold: number) => {
        const model = join(env.nnUNet_results, RECIPE_DATASET, `nnUNetTrainer_${name}__tinyPlans__3d_fullres`);
        return await checkpointContent(join(model, `fold_${fold}`, "checkpoint_final.pth"));
      };
      assert(((await trained("one", 0)).weights as unknown[]).length > 10);
      for (const fold of [0, 1]) assertEquals(await trained("two", fold), await trained("one", fold));

      // There is no fold 9; the others are trained all the same.
      const line = [
        "train",
        "7",
        "3d_fullres",
        "-p",
        "tinyPlans",
        "--folds",
        "0",
        "9",
        "1",
        "--name",
        "three",
        ...RUN.slice(6),
      ]
        .filter((word) => word !== "--disable_ensembling");
      const three = await runCommand([...line, "--gpus", "0,0", "--log", "json"], { env });
      assertEquals(three.code, 1, three.stderr);
      assert(
        three.stderr.includes("error: fold 9: ") && three.stderr.includes("could not be trained: 9;"),
        three.stderr,
      );
      assert(/"event":"fold",.*"fold":1,"gpu":"0","state":"done"/.test(three.stdout), three.stdout);
      for (const fold of [0, 1]) assertEquals(await trained("three", fold), await trained("one", fold));
    }),
});
