/** `run` as a user runs it: the whole recipe by one command, stopped and gone on, several at once, and what it refuses. */
import { join } from "../../core/base/path.ts";
import { assert, assertEquals } from "../assert.ts";
import { checkpointContent } from "../unit/train_fixture.ts";
import { running } from "./cli/kill_commands.ts";
import { killAndGoOn, runWhole } from "./cli/killed_runs.ts";
import {
  makeCascadePlans,
  makeRecipeDataset,
  RECIPE_CASES,
  RECIPE_DATASET,
  recipeEnvironment,
} from "./cli/recipe_dataset.ts";
import { copyFolder, inTempFolder, namesIn, runCommand } from "./cli/run_command.ts";

const SHORT = "--epochs 1 --iterations 2 --name t --seed 3 -device cpu --threads 1 --sample-threads 0".split(" ");
const CASCADE = ["run", "7", "-p", "tinyPlans", ...SHORT];
const MODEL = (configuration: string) => `nnUNetTrainer_t__tinyPlans__${configuration}`;
const TRAININGS = ["3d_fullres", "3d_lowres", "3d_cascade_fullres"].flatMap((name) =>
  [0, 1].map((f) => [name, f] as const)
);

async function makeDataset(root: string): Promise<Record<string, string>> {
  await makeRecipeDataset(root);
  await makeCascadePlans(root);
  return recipeEnvironment(root);
}

async function final(root: string, configuration: string, fold: number): Promise<Record<string, unknown>> {
  const model = join(root, "results", RECIPE_DATASET, MODEL(configuration));
  return await checkpointContent(join(model, `fold_${fold}`, "checkpoint_final.pth"));
}

Deno.test("run takes a dataset through check, data and the trainings of a cascade; run again, it does nothing", () =>
  inTempFolder(async (root) => {
    const env = await makeDataset(root);
    const dry = await runCommand([...CASCADE, "--dry-run"], { env });
    assertEquals(dry.code, 0, dry.stderr);
    assert(/check and fingerprint +left/.test(dry.stdout) && dry.stdout.includes("6 of 6 trainings are left, about"));
    assertEquals(await namesIn(env.nnUNet_results), []);

    const { code, stdout, stderr } = await runCommand(CASCADE, { env });
    assertEquals(code, 0, stderr);
    const done = [...stdout.matchAll(/^(.*, fold \d): done, Dice/gm)].map(([, name]) => name);
    assertEquals(done, TRAININGS.map(([name, fold]) => `${name}, fold ${fold}`));
    const results = join(env.nnUNet_results, RECIPE_DATASET);
    assert(stdout.includes(`all 6 trainings are done: ${results}\n`), stdout);
    assert(
      /\nbest: .*, Dice 0\.\d+ of 2 folds, .*\n.*nnunet predict --best -d 7 -i IMAGES -o .*\n$/.test(stdout),
      stdout,
    );
    const predicted = join(root, "predicted");
    const images = join(env.nnUNet_raw, RECIPE_DATASET, "imagesTr");
    const best = ["predict", "--best", "-d", "7", "-i", images, "-o", predicted, "-device", "cpu", "--threads", "1"];
    const prediction = await runCommand(best, { env });
    assertEquals(prediction.code, 0, prediction.stderr);
    assert((await namesIn(predicted)).includes("ball_0.nii.gz"));
    const next = join(results, MODEL("3d_lowres"), "predicted_next_stage", "3d_cascade_fullres");
    assertEquals(await namesIn(next), RECIPE_CASES.map((id) => `${id}.npz`));
    const validation = await namesIn(join(results, MODEL("3d_cascade_fullres"), "fold_1", "validation"));
    assert(validation.includes("ball_0.npz") && validation.includes("ball_1.pkl"), validation.join(" "));
    assertEquals((await namesIn(results)).filter((name) => name.startsWith(".")), []);

    const file = join(results, MODEL("3d_fullres"), "fold_0", "checkpoint_final.pth");
    const before = (await Deno.stat(file)).mtime;
    const again = await runCommand(CASCADE, { env });
    assertEquals(again.code, 0, again.stderr);
    assert(!again.stdout.includes(" is trained") && !again.stdout.includes(" left"), again.stdout);
    assert(!again.stdout.includes("choosing") && again.stdout.includes("\nbest: "), again.stdout);
    assertEquals((await Deno.stat(file)).mtime, before);
  }));

Deno.test("what a fold's validation lacks is made, and nothing else", () =>
  inTempFolder(async (root) => {
    const env = await makeDataset(root);
    const line = [...CASCADE, "-c", "3d_fullres"];
    assertEquals((await runCommand([...line, "--disable_ensembling"], { env })).code, 0);
    const fold = join(env.nnUNet_results, RECIPE_DATASET, MODEL("3d_fullres"), "fold_1");
    const checkpoint = await Deno.readFile(join(fold, "checkpoint_final.pth"));
    const { stdout, stderr } = await runCommand(line, { env });
    assert(/3d_fullres, fold 1 +part +trained, its validation is left/.test(stdout), stdout + stderr);
    assert((await namesIn(join(fold, "validation"))).includes("ball_0.npz"));
    assertEquals(await Deno.readFile(join(fold, "checkpoint_final.pth")), checkpoint);
  }));

Deno.test("two runs at once share the folds, each trained by one of them, to the weights of one run alone", () =>
  inTempFolder(async (folder) => {
    const [alone, shared] = [join(folder, "alone"), join(folder, "shared")];
    const env = await makeDataset(alone);
    await copyFolder(alone, shared);
    assertEquals((await runCommand(CASCADE, { env })).code, 0);
    const runs = await Promise.all([1, 2].map(() => runCommand(CASCADE, { env: recipeEnvironment(shared) })));
    for (const { code, stdout, stderr } of runs) {
      assertEquals(code, 0, stderr);
      assert(stdout.includes("all 6 trainings are done"), stdout);
    }
    const trained = runs.flatMap(({ stdout }) => [...stdout.matchAll(/^(.*): is trained$/gm)].map(([, name]) => name));
    assertEquals(trained.toSorted(), TRAININGS.map(([name, fold]) => `${name}, fold ${fold}`).toSorted());
    for (const [name, fold] of TRAININGS) {
      const [one, other] = [await final(alone, name, fold), await final(shared, name, fold)];
      assertEquals(other.weights, one.weights, `${name}, fold ${fold}`);
    }
  }));

Deno.test({
  name: "run, killed where most is at stake and run again, ends as if it had not been killed, and leaves nothing else",
  ignore: Deno.build.os === "windows",
  fn: () =>
    inTempFolder(async (folder) => {
      const killed = await running(folder);
      const whole = await runWhole(killed);
      for (
        const line of [
          /^rename Dataset007_Balls\/nnUNetPlans_3d_fullres$/,
          /^remove Dataset007_Balls\/\.nnUNetPlans_3d_fullres\.lock$/,
          /^rename fold_0\/checkpoint_final\.pth$/,
          /^rename validation\/summary\.json$/,
          /^rename crossval_results_folds_0_1\/ball_2\.nii\.gz$/,
          /^rename Dataset007_Balls\/inference_information\.json$/,
        ]
      ) {
        const at = whole.moments.find((moment) => line.test(moment.line));
        assertEquals(at && await killAndGoOn(killed, whole, at), true, `${line} did not come`);
      }
    }),
});

Deno.test("what changed since is refused with what to do, and made anew with --stale redo", () =>
  inTempFolder(async (root) => {
    const env = await makeDataset(root);
    const line = [...CASCADE, "-c", "3d_fullres"];
    assertEquals((await runCommand(line, { env })).code, 0);
    const plansFile = join(env.nnUNet_preprocessed, RECIPE_DATASET, "tinyPlans.json");
    const label = join(env.nnUNet_raw, RECIPE_DATASET, "labelsTr", "ball_2.nii.gz");
    const plans = await Deno.readTextFile(plansFile);
    const refused = async (...parts: string[]) => {
      const { code, stderr } = await runCommand(line, { env });
      assertEquals(code, 1);
      for (const part of parts) assert(stderr.includes(part), stderr);
    };

    await Deno.writeTextFile(plansFile, plans.replace('"batch_size":2', '"batch_size":3'));
    await refused("3d_fullres, folds 0, 1: the plans' batch_size was 2 and is 3", "--stale redo");
    await Deno.writeTextFile(plansFile, plans.replaceAll('"spacing":[1,1,1]', '"spacing":[1.2,1,1]'));
    await refused("data of 3d_fullres: the plans' spacing was [1,1,1] and is [1.2,1,1]");
    await Deno.writeTextFile(plansFile, plans);
    assertEquals((await runCommand(line, { env })).code, 0);

    await Deno.utime(label, new Date(), new Date());
    await refused("1 file of the dataset changed", "files of 1 case are newer than its training: ball_2");
    const kept = await runCommand([...line, "--stale", "keep"], { env });
    assertEquals(kept.code, 0, kept.stderr);
    assert(
      !kept.stdout.includes("is trained") && kept.stderr.includes("warning: 3d_fullres, folds 0, 1: files of 1 case"),
    );
    const redone = await runCommand([...line, "-f", "0", "--stale", "redo"], { env });
    assertEquals(redone.code, 0, redone.stderr);
    assert(redone.stdout.includes("3d_fullres, fold 0: is trained"), redone.stdout);
    const names = await namesIn(join(env.nnUNet_results, RECIPE_DATASET, MODEL("3d_fullres")));
    assertEquals(names.filter((name) => name.includes("fold_")), ["fold_0", "fold_1", "old_fold_0"]);
    const chosen = await runCommand([...line, "--stale", "keep"], { env });
    assertEquals(chosen.code, 0, chosen.stderr);
    assert(chosen.stdout.includes("choosing the best of 3d_fullres by 2 folds"), chosen.stdout);
  }));

Deno.test("run refuses what is not there, what can't be trained, and a dataset that is not right, before the work", () =>
  inTempFolder(async (root) => {
    const env = await makeDataset(root);
    const fails = async (line: readonly string[], code: number, ...parts: string[]) => {
      const result = await runCommand(line, { env });
      assertEquals(result.code, code, result.stderr);
      for (const part of parts) assert(result.stderr.includes(part), result.stderr);
    };
    await fails([...CASCADE, "-c", "3d_fulres"], 1, "did you mean 3d_fullres?");
    await fails([...CASCADE, "-f", "7"], 1, "there is no fold 7; it has the folds 0 to 1");
    await fails([...CASCADE, "-f", "all", "0"], 2, "goes with no other fold");
    await fails(["run", "7", "-p", "nnUNetResEncUNetMPlan", ...SHORT], 1, "did you mean nnUNetResEncUNetMPlans?");
    await fails(["run", "7", "--epochs", "3"], 2, "--name SUFFIX");
    await fails(["run", "8"], 1, "Dataset008");
    const label = join(env.nnUNet_raw, RECIPE_DATASET, "labelsTr", "ball_2.nii.gz");
    await Deno.writeFile(label, (await Deno.readFile(label)).subarray(0, 60));
    await fails(CASCADE, 1, "The check of Dataset007_Balls found 1 error", "ball_2.nii.gz");
    assertEquals(await namesIn(env.nnUNet_results), []);
  }));

Deno.test("run plans as -gpu_memory_target and -overwrite_target_spacing say, and tells plans that are others", () =>
  inTempFolder(async (root) => {
    const env = await makeDataset(root);
    const plans = ["run", "7", "-pl", "ExperimentPlanner", "-p", "fine", "-gpu_memory_target", "2"];
    const spaced = [...plans, "-overwrite_target_spacing", "0.6", "0.5", "0.5"];
    const rest = ["-c", "3d_fullres", "-f", "0", ...SHORT];
    const { code, stderr } = await runCommand([...spaced, ...rest], { env });
    assertEquals(code, 0, stderr);
    const file = join(env.nnUNet_preprocessed, RECIPE_DATASET, "fine.json");
    const { configurations } = JSON.parse(await Deno.readTextFile(file));
    assertEquals(configurations["3d_fullres"].spacing, [0.6, 0.5, 0.5]);

    const same = await runCommand([...spaced, ...rest, "--dry-run"], { env });
    assert(/plans +done/.test(same.stdout) && same.stderr === "", same.stdout + same.stderr);
    const unasked = await runCommand(["run", "7", "-pl", "ExperimentPlanner", "-p", "fine", ...rest, "--dry-run"], {
      env,
    });
    assert(/plans +done/.test(unasked.stdout), unasked.stdout);
    const other = await runCommand([...plans, "-overwrite_target_spacing", "0.5", "0.5", "0.5", ...rest], { env });
    assertEquals(other.code, 1);
    assert(
      /3d_fullres .*not what ExperimentPlanner plans for 2 GB .* 0.5 x 0.5 x 0.5 mm/.test(other.stderr),
      other.stderr,
    );

    const given = await runCommand(["run", "7", "-p", "tinyPlans", "-gpu_memory_target", "2"], { env });
    assertEquals(given.code, 2);
    assert(given.stderr.includes("plans of the name tinyPlans are taken as they are"), given.stderr);
  }));

Deno.test("run starts the folds of the one configuration from -pretrained_weights, and no fold that is begun", () =>
  inTempFolder(async (root) => {
    const env = await makeDataset(root);
    const results = join(env.nnUNet_results, RECIPE_DATASET);
    const line = [...CASCADE, "-c", "3d_lowres", "-f"];
    assertEquals((await runCommand([...line, "0"], { env })).code, 0);
    const first = join(results, MODEL("3d_lowres"), "fold_0", "checkpoint_final.pth");
    const weights = join(root, "weights.pth");
    await Deno.copyFile(first, weights);
    const before = await Deno.readFile(first);
    const tuned = await runCommand([...line, "0", "1", "-pretrained_weights", weights, "--strict"], { env });
    assertEquals(tuned.code, 0, tuned.stderr);
    assertEquals(await Deno.readFile(first), before);
    const logOf = async (configuration: string, fold: number) => {
      const folder = join(results, MODEL(configuration), `fold_${fold}`);
      const logs = (await namesIn(folder)).filter((name) => name.startsWith("training_log"));
      return (await Promise.all(logs.map((name) => Deno.readTextFile(join(folder, name))))).join("");
    };
    assert((await logOf("3d_lowres", 1)).includes(`layers taken from ${weights}`));

    const refused = async (args: readonly string[], code: number, ...texts: string[]) => {
      const { code: got, stderr } = await runCommand([...CASCADE, ...args], { env });
      assertEquals(got, code, stderr);
      for (const text of texts) assert(stderr.includes(text), stderr);
    };
    await refused(["-pretrained_weights", weights], 2, "name it with -c");
    await refused(["-c", "3d_lowres", "--strict"], 2, "--strict says how");
    await refused(["-c", "3d_fullres", "-pretrained_weights", join(root, "none.pth")], 1, "none.pth");
    assertEquals((await namesIn(results)).filter((name) => name.includes("3d_fullres")), []);
  }));
