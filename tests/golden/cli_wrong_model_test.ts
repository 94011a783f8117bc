/** Wrong models through the command line: what is missing or damaged is refused by file and field, with what is there, before the work. */
import { join } from "../../core/base/path.ts";
import { assert, assertEquals } from "../assert.ts";
import { editZip, replaceText } from "./cli/edit_zip.ts";
import { assertRefused, FAST, ONE, predict, predictions, TWO } from "./cli/predict_command.ts";
import { copyFolder, inTempFolder, namesIn, runCommand } from "./cli/run_command.ts";

Deno.test("broken plans.json and dataset.json are refused with the field", async () => {
  await inTempFolder(async (folder) => {
    const model = join(folder, "model");
    const output = join(folder, "out");
    await copyFolder(ONE.model, model);
    const plansFile = join(model, "plans.json");
    const plans = await Deno.readTextFile(plansFile);
    const edits: [string, string][] = [
      [plans.slice(0, 1000), "plans.json"],
      [plans.replace(/"patch_size": \[[^\]]*\]/g, '"patch_size": "big"'), "patch_size"],
      [plans.replace("SimpleITKIO", "Tiff4DIO"), "Tiff4DIO"],
      [plans.replaceAll("CTNormalization", "MagicNormalization"), "MagicNormalization"],
      [plans.replace('"transpose_forward"', '"transpose_fwd"'), "transpose_forward"],
    ];
    for (const [text, part] of edits) {
      assert(text !== plans, `the edit for ${part} changes something`);
      await Deno.writeTextFile(plansFile, text);
      assertRefused(await predict(model, ONE.images, output), plansFile, part);
    }
    await Deno.remove(plansFile);
    assertRefused(await predict(model, ONE.images, output), model, "plans.json is missing");
    await Deno.writeTextFile(plansFile, plans);

    const datasetFile = join(model, "dataset.json");
    const dataset = await Deno.readTextFile(datasetFile);
    for (const [text, part] of [[dataset.replace('"labels"', '"lables"'), "labels"], ["[]", datasetFile]]) {
      await Deno.writeTextFile(datasetFile, text);
      assertRefused(await predict(model, ONE.images, output), datasetFile, part);
    }
    assertEquals(await namesIn(output), []);
  });
});

Deno.test("missing, truncated and foreign checkpoints and absent folds are refused with what is there", async () => {
  await inTempFolder(async (folder) => {
    const model = join(folder, "model");
    const output = join(folder, "out");
    await copyFolder(ONE.model, model);
    const file = join(model, "fold_0", "checkpoint_final.pth");
    const bytes = await Deno.readFile(file);
    const run = (...more: string[]) => predict(model, ONE.images, output, ...more);
    assertRefused(await run("-chk", "checkpoint_bset.pth"), "checkpoint_bset.pth", "-chk checkpoint_final.pth");
    assertRefused(await run("-f", "3"), "no fold 3", "-f 0 1");
    await Deno.writeFile(file, bytes.subarray(0, bytes.length >> 1));
    assertRefused(await run(), file);
    await Deno.writeTextFile(file, "PK, but no zip");
    assertRefused(await run(), file);
    await Deno.copyFile(join(TWO.model, "fold_0", "checkpoint_final.pth"), file);
    assertRefused(await run(), file);
    assertEquals(await namesIn(output), []);
  });
});

Deno.test("a checkpoint that wants to run code is refused with what it wants to call, and nothing is run", async () => {
  await inTempFolder(async (folder) => {
    const model = join(folder, "model");
    await copyFolder(ONE.model, model);
    const file = join(model, "fold_0", "checkpoint_final.pth");
    const mark = join(folder, "was_run");
    const pickle = new TextEncoder().encode(`cos\nsystem\n(S'touch ${mark}'\ntR.`);
    await editZip(file, (name, data) => (name.endsWith("data.pkl") ? pickle : data));
    assertRefused(await predict(model, ONE.images, join(folder, "out")), file, "os.system");
    assertEquals(await namesIn(folder), ["model"]);
  });
});

Deno.test("a trainer that is not known is refused, unless its network is vouched for; the report says that it was", async () => {
  await inTempFolder(async (folder) => {
    const model = join(folder, "model");
    const output = join(folder, "out");
    await copyFolder(ONE.model, model);
    const file = join(model, "fold_0", "checkpoint_final.pth");
    await editZip(
      file,
      (name, data) => (name.endsWith("data.pkl") ? replaceText(data, "nnUNetTrainer", "nnUNetTreiner") : data),
    );
    assertRefused(await predict(model, ONE.images, output), file, "nnUNetTreiner", "--assume_plans_network");
    const report = join(folder, "report.json");
    const result = await predict(model, ONE.images, output, "--assume_plans_network", "--report", report);
    assertEquals(result.code, 0, result.stderr);
    const { overrides, model: { trainer } } = JSON.parse(await Deno.readTextFile(report));
    assertEquals([trainer, overrides[0].flag], ["nnUNetTreiner", "--assume_plans_network"]);
  });
});

Deno.test("a dataset or configuration that is not there is refused with those that are", async () => {
  await inTempFolder(async (folder) => {
    await copyFolder(ONE.model, join(folder, "Dataset801_CT", "nnUNetTrainer__nnUNetPlans__3d_fullres"));
    const run = (...args: string[]) =>
      runCommand(["predict", "-i", ONE.images, "-o", join(folder, "out"), ...FAST, ...args], {
        env: { nnUNet_results: folder },
      });
    assertRefused(await run("-d", "801", "-c", "3d_fulres"), "-c 3d_fullres");
    assertRefused(await run("-d", "802", "-c", "3d_fullres"), "Dataset802", "Dataset801_CT");
    const result = await run("-d", "801", "-c", "3d_fullres");
    assertEquals(result.code, 0, result.stderr);
    assertEquals(await predictions(join(folder, "out")), ["test_000.nii.gz", "test_001.nii.gz"]);
  });
});
