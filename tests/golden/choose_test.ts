/**
 * The choice of the best model: instructions, what is refused before the work, and going on after a stop, on the cross-validations of
 * recipe/make_recipe_golden.py. tests/golden/recipe_test.ts compares the files with upstream's.
 */
import { UserError } from "../../core/base/errors.ts";
import { fromFileUrl, join } from "../../core/base/path.ts";
import { accumulateResults } from "../../core/choose/crossval_results.ts";
import { type BestRequest, findBestConfiguration } from "../../core/choose/find_best.ts";
import { readBestChoice } from "../../core/choose/inference_information.ts";
import { instructionsText } from "../../core/choose/instructions.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";
import { copyFolder, inTempFolder, namesIn, runCommand } from "./cli/run_command.ts";

const GOLDEN = fromFileUrl(new URL("./recipe/labels/", import.meta.url));
const DATASET = "Dataset940_Labels";
const TWO_D = "nnUNetTrainer__nnUNetPlans__2d";
const FULL = "nnUNetTrainer__nnUNetPlans__3d_fullres";
const ENSEMBLE = `ensembles/ensemble___${TWO_D}___${FULL}___0_1`;

interface Prepared {
  readonly request: BestRequest;
  readonly said: string[];
  readonly results: string;
  readonly env: Readonly<Record<string, string>>;
}

async function withResults(test: (prepared: Prepared) => Promise<void>): Promise<void> {
  await inTempFolder(async (folder) => {
    const folders = { raw: join(folder, "raw"), results: join(folder, "results") };
    await copyFolder(join(GOLDEN, "raw"), folders.raw);
    await copyFolder(join(GOLDEN, "results"), folders.results);
    const said: string[] = [];
    const request: BestRequest = {
      dataset: DATASET,
      trainers: ["nnUNetTrainer"],
      configurations: ["2d", "3d_fullres"],
      plans: ["nnUNetPlans"],
      folds: [0, 1],
      folders,
      ensembling: true,
      overwrite: true,
      instructions: { commands: "python", processes: 2 },
      threads: 1,
      say: (text) => said.push(text),
    };
    const env = { nnUNet_raw: folders.raw, nnUNet_results: folders.results };
    await test({ request, said, results: join(folders.results, DATASET), env });
  });
}

Deno.test("without preprocessed data the choice is the same, and Python's instructions are upstream's letter by letter", async () => {
  await withResults(async ({ request, results, said, env }) => {
    const { best, before, after, instructions } = await findBestConfiguration(request);
    assertEquals(best.map(({ configuration }) => configuration), ["2d", "3d_fullres"]);
    assert(before < after);
    const text = await Deno.readTextFile(join(results, "inference_instructions.txt"));
    const upstream = await Deno.readTextFile(join(GOLDEN, "expected", DATASET, "inference_instructions.txt"));
    assertEquals(text, upstream.replaceAll("ROOT", request.folders.results));
    assertEquals(instructions, text);
    assert(said.includes("\n***All results:***"), said.join("\n"));
    assertEquals(said.filter((line) => line.startsWith("\n*Best*: ensemble___")).length, 1);

    const choice = await readBestChoice(DATASET, request.folders);
    assertEquals(choice.models.map(({ folder }) => folder), [join(results, TWO_D), join(results, FULL)]);
    assertEquals(choice.postprocessingFile, join(results, ENSEMBLE, "postprocessing.pkl"));

    const listed = await runCommand(["find_best_configuration", "940", "-c", "2d", "-f", "0", "1", "--log", "json"], {
      env,
    });
    assertEquals(listed.code, 0, listed.stderr);
    const event = listed.stdout.trim().split("\n").map((line) => JSON.parse(line)).find((one) => one.event === "best");
    assertEquals([event?.models, event?.folds], [[TWO_D], [0, 1]]);
    const own = await Deno.readTextFile(join(results, "inference_instructions.txt"));
    assert(own.includes("\nnnunet predict --best -d Dataset940_Labels -i INPUT_FOLDER -o OUTPUT_FOLDER_PP\n"), own);
  });
});

Deno.test("moved results are found where they are, whatever path inference_information.json has", async () => {
  await withResults(async ({ request, results }) => {
    await findBestConfiguration({ ...request, ensembling: false });
    const moved = join(request.folders.results, "..", "moved");
    await Deno.rename(request.folders.results, moved);
    const { models, postprocessingFile } = await readBestChoice(DATASET, { results: moved });
    const [{ configuration, folder }] = models;
    assertEquals(folder, join(moved, DATASET, `nnUNetTrainer__nnUNetPlans__${configuration}`));
    assert(postprocessingFile.startsWith(moved), `${postprocessingFile} (${results})`);
  });
});

Deno.test("--no_overwrite goes on with what is there; without it what is there is made anew", async () => {
  await withResults(async ({ request, results }) => {
    await findBestConfiguration(request);
    const merged = join(results, TWO_D, "crossval_results_folds_0_1");
    const ensemble = join(results, ENSEMBLE);
    const [kept, lost] = [join(ensemble, "c0.nii.gz"), join(ensemble, "c1.nii.gz")];
    const other = await Deno.readFile(join(merged, "c0.nii.gz"));
    const whole = await Deno.readFile(kept);
    const summary = await Deno.readTextFile(join(merged, "summary.json"));
    await Deno.writeFile(kept, other);
    await Deno.remove(lost);
    await Deno.remove(join(merged, "c2.nii.gz"));
    await findBestConfiguration({ ...request, overwrite: false });
    assertEquals(await Deno.readFile(kept), other);
    assert((await namesIn(ensemble)).includes("c1.nii.gz"));
    assertEquals(await Deno.readTextFile(join(merged, "summary.json")), summary);
    await Deno.writeTextFile(join(merged, "old.nii.gz"), "of another split");
    await findBestConfiguration(request);
    assertEquals(await Deno.readFile(kept), whole);
    assertEquals((await namesIn(merged)).includes("old.nii.gz"), false);
  });
});

Deno.test("what is missing is told before the work, with the command that makes it", async () => {
  await withResults(async ({ request, results }) => {
    const refused = (changes: Partial<BestRequest>, ...parts: string[]) =>
      assertFails(() => findBestConfiguration({ ...request, ...changes }), UserError, ...parts);
    await refused({ folds: [0, 1, 2, 3] }, "no validation of 2 folds: 2, 3", `train ${DATASET} 2d 2 --npz`);
    await refused(
      { trainers: ["nnUNetTrainer_5epochs"] },
      "nnUNetTrainer_5epochs__nnUNetPlans__2d",
      "train Dataset940",
    );
    await refused({ trainers: ["my__trainer"] }, 'the name of the trainer, my__trainer, has "__" in it');
    await refused({ plans: ["otherPlans"] }, "there are no such plans");
    await refused({ configurations: ["3d_lowres"] }, "the plans nnUNetPlans have none of the configurations 3d_lowres");
    const fold = join(results, FULL, "fold_1", "validation");
    const npz = (await namesIn(fold)).filter((name) => name.endsWith(".npz"));
    await Deno.rename(join(fold, npz[0]), join(fold, "kept"));
    await refused({}, "not all models have probabilities", npz[0].slice(0, -4), "--disable_ensembling");
    for (const name of npz.slice(1)) await Deno.remove(join(fold, name));
    await refused(
      {},
      "no probabilities (.npz) of the validation of 1 fold",
      `train ${DATASET} 3d_fullres 1 --val --npz`,
    );
    await findBestConfiguration({ ...request, ensembling: false });
    const zero = join(results, FULL, "fold_0", "validation");
    const [name] = (await namesIn(zero)).filter((one) => one.endsWith(".nii.gz"));
    await Deno.copyFile(join(zero, name), join(fold, name));
    await refused({ ensembling: false }, "in the validation of fold 0 and of fold 1", "splits_final.json");
    assertEquals((await namesIn(results)).includes("ensembles"), false);
  });
});

Deno.test("a damaged .npz of a fold is named with its case", async () => {
  await withResults(async ({ request, results }) => {
    const file = join(results, FULL, "fold_1", "validation", "c1.npz");
    await Deno.writeFile(file, (await Deno.readFile(file)).subarray(0, 700));
    await assertFails(() => findBestConfiguration(request), UserError, "case c1", file, "cut off");
  });
});

Deno.test("accumulate_crossval_results collects into a folder that is empty, and refuses another", async () => {
  await withResults(async ({ results, env }) => {
    const output = join(results, "..", "collected");
    const args = ["accumulate_crossval_results", "940", "-c", "2d", "-f", "1", "-o", output];
    const first = await runCommand(args, { env });
    assertEquals([first.code, first.stderr], [0, ""]);
    assertEquals(await namesIn(output), ["c1.nii.gz", "c3.nii.gz", "dataset.json", "plans.json", "summary.json"]);
    const second = await runCommand(args, { env });
    assertEquals(second.code, 1);
    assert(second.stderr.includes("nothing is overwritten"), second.stderr);
    const model = {
      dataset: DATASET,
      trainer: "nnUNetTrainer",
      plans: "nnUNetPlans",
      configuration: "2d",
      folder: join(results, TWO_D),
    };
    const nowhere = { model, folds: [0], output: join(output, "x"), overwrite: true, folders: {} };
    await assertFails(() => accumulateResults(nowhere), UserError, "nnUNet_raw", "nnUNet_preprocessed");
  });
});

Deno.test("a cascade's instructions begin with its first stage, which is predicted once where it is in the ensemble", () => {
  const model = (configuration: string, previousStage?: string) => ({
    dataset: "Dataset001_A",
    trainer: "nnUNetTrainer",
    plans: "nnUNetPlans",
    configuration,
    folder: "",
    ...(previousStage !== undefined && { previousStage }),
  });
  const text = (models: Parameters<typeof instructionsText>[0]["models"]) =>
    instructionsText({
      dataset: "Dataset001_A",
      folds: [0, 1],
      models,
      postprocessingFile: "pp.pkl",
      plansFile: "plans.json",
      commands: "nnunet",
      processes: 8,
    });
  const command = (configuration: string, output: string, more = "") =>
    `nnunet predict -d Dataset001_A -i INPUT_FOLDER -o ${output} -f 0 1 -tr nnUNetTrainer -c ${configuration} -p nnUNetPlans${more}\n`;
  const cascade = model("3d_cascade_fullres", "3d_lowres");
  const alone = text([cascade]);
  const previous = " -prev_stage_predictions OUTPUT_FOLDER_PREV_STAGE";
  const first = command("3d_lowres", "OUTPUT_FOLDER_PREV_STAGE");
  assert(alone.includes(first + command("3d_cascade_fullres", "OUTPUT_FOLDER", previous)), alone);
  const together = text([model("3d_lowres"), cascade]);
  const member = command("3d_lowres", "OUTPUT_FOLDER_MODEL_1", " --save_probabilities");
  const second = " -prev_stage_predictions OUTPUT_FOLDER_MODEL_1 --save_probabilities";
  assert(together.includes(member + command("3d_cascade_fullres", "OUTPUT_FOLDER_MODEL_2", second)), together);
  assertEquals(together.includes("PREV_STAGE"), false);
});
