/**
 * What `deno task fetch` fetches into an empty cache is all that any command needs: afterwards Deno may fetch nothing
 * (--cached-only), and where the system can take the network away, it is away. Needs the network itself, for the packages.
 */
import { fromFileUrl, join } from "../../core/base/path.ts";
import { assert, assertEquals } from "../assert.ts";
import { copyFolder, GOLDEN, inTempFolder } from "../golden/cli/run_command.ts";

const ROOT = fromFileUrl(new URL("../../", import.meta.url));
const PERMISSIONS = ["--allow-read", "--allow-write", "--allow-env", "--allow-sys"];

Deno.test({
  name: "after `deno task fetch` the commands and their threads fetch nothing",
  ignore: Deno.build.os === "windows",
  fn: () =>
    inTempFolder(async (folder) => {
      const env = {
        DENO_DIR: join(folder, "cache"),
        DENO_NO_UPDATE_CHECK: "1",
        NO_COLOR: "1",
        nnUNet_raw: join(folder, "raw"),
        nnUNet_preprocessed: join(folder, "preprocessed"),
        nnUNet_results: join(folder, "results"),
      };
      const sh = async (script: string, words: readonly string[], cwd: string) => {
        const args = ["-c", script, "sh", ...words];
        const { code, stdout, stderr } = await new Deno.Command("sh", { args, cwd, env, stdin: "null" }).output();
        const decoder = new TextDecoder();
        return { code, text: decoder.decode(stdout) + decoder.decode(stderr) };
      };
      const fetched = await sh('exec "$@"', ["deno", "task", "fetch"], ROOT);
      assertEquals(fetched.code, 0, fetched.text);

      const alone = (await sh("unshare -rn true", [], folder)).code === 0 ? 'exec unshare -rn "$@"' : 'exec "$@"';
      const program = ["deno", "run", "--cached-only", "--frozen", ...PERMISSIONS];
      const run = async (...args: string[]) => {
        const { code, text } = await sh(alone, [...program, join(ROOT, "main.ts"), ...args], folder);
        assertEquals(code, 0, `${args.join(" ")}: ${text}`);
        assert(!text.includes("Download"), text);
      };
      await copyFolder(join(ROOT, "tests/golden/planning/raw"), env.nnUNet_raw);
      await run("plan_and_preprocess", "-d", "803", "-c", "2d");
      const training = ["803", "2d", "0", "--epochs", "1", "--iterations", "1", "--batch-size", "2", "--name", "x"];
      await run("train", ...training, "-device", "cpu");
      const fold = join(env.nnUNet_results, "Dataset803_Pictures", "nnUNetTrainer_x__nnUNetPlans__2d", "fold_0");
      assert((await Deno.stat(join(fold, "progress.png"))).isFile, "the thread that draws has its packages");
      await run("export", join(fold, "checkpoint_final.pth"), "--safetensors");
      const name = "iso_ct_two_folds";
      const images = join(GOLDEN, "images", name);
      await run("predict_from_modelfolder", "-m", join(GOLDEN, "models", name), "-i", images, "-o", "out", "-f", "0");
      await run("evaluate_simple", "out", "out", "-l", "1");
    }),
});
