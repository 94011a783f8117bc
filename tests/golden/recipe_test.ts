/**
 * The end of the recipe as a user runs it, on tiny cross-validations, against what the real nnU-Net made of them
 * (recipe/make_recipe_golden.py): find_best_configuration, and each of the commands it consists of.
 */
import { readJsonFile } from "../../core/base/json.ts";
import { fromFileUrl, join } from "../../core/base/path.ts";
import { assert, assertEquals } from "../assert.ts";
import { compareJson, compareSegmentations, filesBelow, filesOf } from "../bench/recipe_compare.ts";
import { copyFolder, inTempFolder, runCommand } from "./cli/run_command.ts";

const GOLDEN = fromFileUrl(new URL("./recipe/", import.meta.url));
const CONFIGURATIONS = ["2d", "3d_fullres"];
const DATASETS = { labels: "Dataset940_Labels", regions: "Dataset941_Regions" } as const;
type Kind = keyof typeof DATASETS;

interface Folders {
  readonly nnUNet_raw: string;
  readonly nnUNet_preprocessed: string;
  readonly nnUNet_results: string;
}

/** nnU-Net's three folders, as training leaves them. */
async function prepare(kind: Kind, folder: string): Promise<Folders> {
  const folders = {
    nnUNet_raw: join(folder, "raw"),
    nnUNet_preprocessed: join(folder, "preprocessed"),
    nnUNet_results: join(folder, "results"),
  };
  await copyFolder(join(GOLDEN, kind, "raw"), folders.nnUNet_raw);
  await copyFolder(join(GOLDEN, kind, "results"), folders.nnUNet_results);
  const preprocessed = join(folders.nnUNet_preprocessed, DATASETS[kind]);
  const [model] = CONFIGURATIONS.map((one) => modelFolder(folders.nnUNet_results, kind, one));
  await copyFolder(join(folders.nnUNet_raw, DATASETS[kind], "labelsTr"), join(preprocessed, "gt_segmentations"));
  await Deno.copyFile(join(model, "plans.json"), join(preprocessed, "nnUNetPlans.json"));
  await Deno.copyFile(join(model, "dataset.json"), join(preprocessed, "dataset.json"));
  return folders;
}

function modelFolder(results: string, kind: Kind, configuration: string): string {
  return join(results, DATASETS[kind], `nnUNetTrainer__nnUNetPlans__${configuration}`);
}

/** The folder of the best model or ensemble, from the results folder on, by upstream's file. */
async function bestFolder(kind: Kind): Promise<string> {
  const { value } = await readJsonFile(join(GOLDEN, kind, "expected", DATASETS[kind], "inference_information.json"));
  const { postprocessing_file } = (value as { best_model_or_ensemble: { postprocessing_file: string } })
    .best_model_or_ensemble;
  return join(postprocessing_file.slice("ROOT/".length), "..");
}

async function assertSameVoxels(ours: string, theirs: string): Promise<void> {
  const { files, differing, problems } = await compareSegmentations(ours, theirs, ".nii.gz", "SimpleITKIO");
  assertEquals([differing, problems], [0, []], `${ours}, ${theirs}`);
  assert(files > 0, `no segmentation in ${theirs}`);
}

for (const kind of ["labels", "regions"] as const) {
  Deno.test(`find_best_configuration on ${kind}: upstream's summaries, choice, postprocessing and voxels`, async () => {
    await inTempFolder(async (folder) => {
      const folders = await prepare(kind, folder);
      const command = ["find_best_configuration", DATASETS[kind], "-c", ...CONFIGURATIONS, "-f", "0", "1", "-np", "2"];
      const { code, stderr } = await runCommand(command, { env: { ...folders } });
      assertEquals(code, 0, stderr);
      const expected = join(GOLDEN, kind, "expected");
      const files = await filesBelow(expected);
      for (const file of files.filter((name) => name.endsWith(".json"))) {
        const names = { RAW: folders.nnUNet_raw, PREPROCESSED: folders.nnUNet_preprocessed };
        const ours = { path: join(folders.nnUNet_results, file), folders: { ROOT: folders.nnUNet_results, ...names } };
        assertEquals(await compareJson(ours, { path: join(expected, file), folders: {} }), [], file);
      }
      const images = files.filter((name) => name.endsWith(".nii.gz")).map((name) =>
        name.slice(0, name.lastIndexOf("/"))
      );
      for (const below of new Set(images)) {
        await assertSameVoxels(join(folders.nnUNet_results, below), join(expected, below));
      }
      assert(
        images.some((name) => name.endsWith("/postprocessed")) && images.some((name) => name.includes("ensembles")),
      );
    });
  });

  Deno.test(`the commands by themselves on ${kind}: accumulate, ensemble, determine and apply postprocessing`, async () => {
    await inTempFolder(async (folder) => {
      const folders = await prepare(kind, folder);
      const run = async (...command: string[]) => {
        const { code, stderr } = await runCommand(command, { env: { ...folders } });
        assertEquals(code, 0, stderr);
      };
      const expected = join(GOLDEN, kind, "expected");
      const merged = join(folder, "merged");
      await run("accumulate_crossval_results", DATASETS[kind], "-c", "2d", "-f", "0", "1", "-o", merged);
      const summary = join(modelFolder(expected, kind, "2d"), "crossval_results_folds_0_1", "summary.json");
      const names = { RAW: folders.nnUNet_raw, PREPROCESSED: folders.nnUNet_preprocessed };
      const here = "ROOT/" + modelFolder("", kind, "2d").replace(/^\//, "") + "/crossval_results_folds_0_1";
      const ours = { path: join(merged, "summary.json"), folders: { [here]: merged, ...names } };
      assertEquals(await compareJson(ours, { path: summary, folders: {} }), []);

      // All cases of each model in a folder, as predict --save_probabilities leaves them.
      const members: string[] = [];
      for (const configuration of CONFIGURATIONS) {
        const model = modelFolder(folders.nnUNet_results, kind, configuration);
        const member = join(folder, `predicted_${configuration}`);
        for (const fold of ["fold_0", "fold_1"]) await copyFolder(join(model, fold, "validation"), member);
        for (const name of ["plans.json", "dataset.json"]) await Deno.copyFile(join(model, name), join(member, name));
        members.push(member);
      }
      const ensemble = join(folder, "ensemble");
      await run("ensemble", "-i", ...members, "-o", ensemble, "--save_npz", "-np", "1");
      const best = await bestFolder(kind);
      await assertSameVoxels(ensemble, join(expected, best));
      assertEquals((await filesOf(ensemble, ".npz")).length, (await filesOf(ensemble, ".nii.gz")).length);

      const pickle = join(expected, best, "postprocessing.pkl");
      const plans = join(members[0], "plans.json");
      const applied = join(folder, "applied");
      await run("apply_postprocessing", "-i", ensemble, "-o", applied, "-pp_pkl_file", pickle, "-plans_json", plans);
      await assertSameVoxels(applied, join(expected, best, "postprocessed"));

      const truth = join(folders.nnUNet_raw, DATASETS[kind], "labelsTr");
      await run("determine_postprocessing", "-i", ensemble, "-ref", truth, "-plans_json", plans, "-np", "2");
      await assertSameVoxels(join(ensemble, "postprocessed"), join(expected, best, "postprocessed"));
      const decisions = (path: string) => ({ path, folders: {} });
      const file = "postprocessing.json";
      assertEquals(await compareJson(decisions(join(ensemble, file)), decisions(join(expected, best, file))), []);
    });
  });
}
