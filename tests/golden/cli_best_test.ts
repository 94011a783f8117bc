/** `predict --best`: what inference_information.json says, in one command, against its steps one after the other. */
import { join } from "../../core/base/path.ts";
import { assert, assertEquals } from "../assert.ts";
import { ONE } from "./cli/predict_command.ts";
import { copyFolder, inTempFolder, namesIn, runCommand } from "./cli/run_command.ts";

const DATASET = "Dataset001_Best";
const PLANS = "nnUNetPlans";
const STEPS = [{ labels_or_regions: [1, 2] }, { labels_or_regions: 1 }];
const FAST = ["--disable_tta", "-step_size", "1"];

/** Two models with what was chosen of them, here on a machine with other paths. */
async function makeResults(folder: string, trainers: readonly string[]): Promise<Record<string, string>> {
  const results = join(folder, DATASET);
  for (const [fold, trainer] of ["A", "B"].entries()) {
    const model = join(results, `${trainer}__${PLANS}__3d_fullres`);
    await copyFolder(ONE.model, model);
    // The second model's fold 0 is the first one's fold 1.
    if (fold === 1) await Deno.rename(join(model, "fold_0"), join(model, "fold_2"));
    if (fold === 1) await Deno.rename(join(model, "fold_1"), join(model, "fold_0"));
  }
  const ids = trainers.map((trainer) => `${trainer}__${PLANS}__3d_fullres`);
  const source = ids.length === 1
    ? join(results, ids[0], "crossval_results_folds_0")
    : join(results, "ensembles", `ensemble___${ids.join("___")}___0`);
  await Deno.mkdir(source, { recursive: true });
  const names = STEPS.map(() => "remove_all_but_largest_component_from_segmentation");
  const postprocessing = { postprocessing_fns: names, postprocessing_kwargs: STEPS };
  await Deno.writeTextFile(join(source, "postprocessing.json"), JSON.stringify(postprocessing));
  await Deno.writeTextFile(
    join(results, "inference_information.json"),
    JSON.stringify({
      folds: [0],
      dataset_name_or_id: DATASET,
      best_model_or_ensemble: {
        postprocessing_file: "/elsewhere/postprocessing.pkl",
        selected_model_or_models: trainers.map((trainer) => ({
          configuration: "3d_fullres",
          trainer,
          plans_identifier: PLANS,
        })),
      },
    }),
  );
  return { nnUNet_results: folder, POSTPROCESSING: join(source, "postprocessing.json") };
}

async function run(args: readonly string[], env: Readonly<Record<string, string>>): Promise<string> {
  const { code, stdout, stderr } = await runCommand(args, { env });
  assertEquals(code, 0, `${args.join(" ")}\n${stdout}\n${stderr}`);
  return stdout;
}

Deno.test("predict --best gives what the steps give: two models, their ensemble, the postprocessing", async () => {
  await inTempFolder(async (folder) => {
    const env = await makeResults(join(folder, "results"), ["A", "B"]);
    const best = join(folder, "best");
    const args = ["predict", "--best", "-d", "1", "-i", ONE.images, "-o", best, ...FAST];
    await run([...args, "--save_probabilities"], env);

    const members: string[] = [];
    for (const trainer of ["A", "B"]) {
      const output = join(folder, trainer);
      const model = ["-d", "1", "-c", "3d_fullres", "-tr", trainer, "-f", "0"];
      await run(["predict", ...model, "-i", ONE.images, "-o", output, ...FAST, "--save_probabilities"], env);
      members.push(output);
    }
    const [ensemble, expected] = [join(folder, "ensemble"), join(folder, "expected")];
    await run(["ensemble", "-i", ...members, "-o", ensemble, "--save_npz"], env);
    await run(["apply_postprocessing", "-i", ensemble, "-o", expected, "-pp_pkl_file", env.POSTPROCESSING], env);
    const images = await namesIn(expected);
    assert(images.length > 0);
    for (const name of images) {
      assertEquals(await Deno.readFile(join(best, name)), await Deno.readFile(join(expected, name)), name);
      const npz = name.replace(".nii.gz", ".npz");
      assertEquals(await Deno.readFile(join(best, npz)), await Deno.readFile(join(ensemble, npz)), npz);
    }
    const more = images.flatMap((name) => [".npz", ".pkl"].map((ending) => name.replace(".nii.gz", ending)));
    assertEquals(await namesIn(best), [...images, ...more, "dataset.json", "plans.json"].sort());

    // What is there is left as it is, what is not is predicted.
    await Deno.writeTextFile(join(best, images[0]), "left");
    assert((await run([...args, "--continue_prediction"], env)).includes("nothing is left to do"));
    await Deno.remove(join(best, images.at(-1) ?? ""));
    const last = await run([...args, "--continue_prediction"], env);
    assert(last.includes(`1 case with the best configuration: ${best}`) || images.length === 1, last);
    if (images.length > 1) assertEquals(await Deno.readTextFile(join(best, images[0])), "left");
  });
});

Deno.test("a single model's best goes to one file; a damaged image fails alone", async () => {
  await inTempFolder(async (folder) => {
    const env = await makeResults(join(folder, "results"), ["B"]);
    const images = join(folder, "images");
    await copyFolder(ONE.images, images);
    const [first] = await namesIn(images);
    const file = join(folder, "one.nii.gz");
    await run(["predict", "--best", "-d", DATASET, "-i", join(images, first), "-o", file, ...FAST], env);
    assertEquals((await namesIn(folder)).sort(), ["images", "one.nii.gz", "results"]);
    await Deno.copyFile(join(images, first), join(images, "broken_0000.nii.gz"));
    await Deno.truncate(join(images, "broken_0000.nii.gz"), 200);
    const output = join(folder, "out");
    const args = ["predict", "--best", "-d", "1", "-i", images, "-o", output, ...FAST];
    const { code, stderr } = await runCommand(args, { env });
    assertEquals(code, 1, stderr);
    assert(stderr.includes("broken"), stderr);
    const id = first.replace("_0000.nii.gz", ".nii.gz");
    assertEquals(await Deno.readFile(join(output, id)), await Deno.readFile(file));
    assertEquals((await namesIn(output)).filter((name) => name.startsWith(".") || name.startsWith("broken")), []);
  });
});

Deno.test("predict --best refuses what contradicts it, and says what is missing", async () => {
  await inTempFolder(async (folder) => {
    const env = await makeResults(join(folder, "results"), ["A", "B"]);
    const best = ["predict", "--best", "-d", "1", "-i", ONE.images, "-o", join(folder, "out")];
    const usage = await runCommand([...best, "-c", "2d", "-f", "1"], { env });
    assertEquals(usage.code, 2);
    assert(usage.stderr.includes("argument -c, -f: not allowed with argument --best"), usage.stderr);
    const refused = async (args: readonly string[], ...parts: string[]) => {
      const { code, stderr } = await runCommand(args, { env });
      assertEquals(code, 1, stderr);
      for (const part of parts) assert(stderr.includes(part), stderr);
    };
    await refused([...best.slice(0, -1), ONE.images], "the folder of the images");
    await Deno.remove(env.POSTPROCESSING);
    await refused(best, "looking for the postprocessing".slice(1), "find_best_configuration");
    await Deno.writeTextFile(join(folder, "results", DATASET, "inference_information.json"), '{"folds": ["../0"]}');
    await refused(best, "folds[0]", "find_best_configuration");
    await Deno.remove(join(folder, "results", DATASET, "inference_information.json"));
    await refused(best, "there is no such file", "find_best_configuration Dataset001_Best");
    assertEquals((await namesIn(folder)).sort(), ["results"]);
  });
});

Deno.test("statistics and meshes of predict --best are of what it writes, not of its models' predictions", async () => {
  await inTempFolder(async (folder) => {
    const env = await makeResults(join(folder, "results"), ["A", "B"]);
    const [output, best, measured] = ["out", "best.csv", "measured.csv"].map((name) => join(folder, name));
    const args = ["predict", "--best", "-d", "1", "-i", ONE.images, "-o", output, ...FAST, "--mesh", "stl"];
    const stdout = await run([...args, "--statistics", best], env);
    assertEquals([...stdout.matchAll(/^statistics of/gm)].length, 1, stdout);
    const labels = ["-djfile", join(output, "dataset.json"), "-i", ONE.images, "--mesh", "stl"];
    await run(["measure", output, ...labels, "--statistics", measured], env);
    assertEquals(await Deno.readTextFile(measured), await Deno.readTextFile(best));
    await Deno.remove(best);
    await run([...args, "--statistics", best, "--continue_prediction"], env);
    assertEquals(await Deno.readTextFile(best), await Deno.readTextFile(measured));
  });
});
