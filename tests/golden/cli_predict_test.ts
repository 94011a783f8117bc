/** The main job through the command line, as a user runs it, against what nnUNetv2_predict_from_modelfolder made of the same. */
import { basename, join } from "../../core/base/path.ts";
import { assert, assertEquals } from "../assert.ts";
import { assertSameSegmentation } from "./cli/compare_labels.ts";
import { copyFolder, GOLDEN, inTempFolder, namesIn, runCommand } from "./cli/run_command.ts";

async function golden(name: string) {
  const { args }: { args: string[] } = JSON.parse(await Deno.readTextFile(join(GOLDEN, `${name}.json`)));
  return {
    model: join(GOLDEN, "models", name),
    images: join(GOLDEN, "images", name),
    expected: join(GOLDEN, "expected", name),
    args,
  };
}

Deno.test("nnUNetv2_predict_from_modelfolder gives upstream's segmentations, probabilities and JSON files", async () => {
  const { model, images, expected, args } = await golden("regions_ignore");
  await inTempFolder(async (folder) => {
    const line = ["-i", images, "-o", folder, "-m", model, ...args, "--save_probabilities"];
    const { code, stdout, stderr } = await runCommand(["nnUNetv2_predict_from_modelfolder", ...line]);
    assertEquals(code, 0, stderr);
    assertEquals(stderr, "");
    assert(!stdout.includes("\r") && !stdout.includes("\x1b"), "without a terminal nothing is redrawn");
    assertEquals(await namesIn(folder), [
      "dataset.json",
      "plans.json",
      "predict_from_raw_data_args.json",
      ...["test_000.nii.gz", "test_000.npz", "test_000.pkl", "test_001.nii.gz", "test_001.npz", "test_001.pkl"],
    ]);
    for (const name of ["test_000.nii.gz", "test_001.nii.gz"]) {
      await assertSameSegmentation("SimpleITKIO", join(folder, name), join(expected, name));
    }
    const json = async (file: string) => JSON.parse(await Deno.readTextFile(file));
    assertEquals(await json(join(folder, "plans.json")), await json(join(model, "plans.json")));
    const written = await json(join(folder, "predict_from_raw_data_args.json"));
    assertEquals([written.save_probabilities, written.overwrite, written.num_parts], [true, true, 1]);
  });
});

Deno.test("nnunet predict finds the model by dataset id, averages folds, and gives the same from any thread count and memory", async () => {
  const { model, images, expected } = await golden("iso_ct_two_folds");
  await inTempFolder(async (folder) => {
    await copyFolder(model, join(folder, "Dataset801_CT", "nnUNetTrainer__nnUNetPlans__3d_fullres"));
    const env = { nnUNet_results: folder };
    const predict = (output: string, ...more: string[]) =>
      runCommand(["predict", "-i", images, "-o", output, "-d", "801", "-c", "3d_fullres", "-f", "0", "1", ...more], {
        env,
      });
    const first = join(folder, "first");
    const second = join(folder, "second");
    const result = await predict(first, "--threads", "1");
    assertEquals(result.code, 0, result.stderr);
    assertEquals((await predict(second, "--threads", "2", "-npp", "0")).code, 0);
    for (const name of ["test_000.nii.gz", "test_001.nii.gz"]) {
      await assertSameSegmentation("SimpleITKIO", join(first, name), join(expected, name));
      assertEquals(await Deno.readFile(join(first, name)), await Deno.readFile(join(second, name)), name);
    }
  });
});

Deno.test("one file in, one file out, without a channel number: the same segmentation, a warning, and nothing beside it", async () => {
  const { model, images, expected, args } = await golden("iso_ct_two_folds");
  await inTempFolder(async (folder) => {
    const scan = join(folder, "scan.nii.gz");
    await Deno.copyFile(join(images, "test_000_0000.nii.gz"), scan);
    const output = join(folder, "out", "labels.nii.gz");
    const result = await runCommand(["predict_from_modelfolder", "-i", scan, "-o", output, "-m", model, ...args]);
    assertEquals(result.code, 0, result.stderr);
    assert(result.stderr.includes("warning: scan.nii.gz has no channel number"), result.stderr);
    assertEquals(await namesIn(join(folder, "out")), ["labels.nii.gz"]);
    await assertSameSegmentation("SimpleITKIO", output, join(expected, "test_000.nii.gz"));
  });
});

Deno.test("two files with a comma are the channels of one case", async () => {
  const { model, images, expected, args } = await golden("regions_ignore");
  await inTempFolder(async (folder) => {
    const [t1, t2] = [join(folder, "flair.nii.gz"), join(folder, "t2.nii.gz")];
    await Deno.copyFile(join(images, "test_001_0000.nii.gz"), t1);
    await Deno.copyFile(join(images, "test_001_0001.nii.gz"), t2);
    const output = join(folder, "x.nii.gz");
    const line = ["-i", `${t1},${t2}`, "-o", output, "-m", model, ...args, "--quiet"];
    const result = await runCommand(["predict_from_modelfolder", ...line]);
    assertEquals([result.code, result.stdout, result.stderr], [0, "", ""]);
    await assertSameSegmentation("SimpleITKIO", output, join(expected, "test_001.nii.gz"));
  });
});

Deno.test("the report holds checksums of program, model, inputs and outputs, volumes, timings and the engine", async () => {
  const { model, images, args } = await golden("iso_ct_two_folds");
  await inTempFolder(async (folder) => {
    const file = join(folder, "report.json");
    const output = join(folder, "out");
    const line = ["-i", images, "-o", output, "-m", model, ...args, "--report", file];
    const { code, stderr } = await runCommand(["predict_from_modelfolder", ...line]);
    assertEquals(code, 0, stderr);
    const report = JSON.parse(await Deno.readTextFile(file));
    const sha256 = async (path: string) => {
      const digest = await crypto.subtle.digest("SHA-256", await Deno.readFile(path));
      return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    };
    assert(/^[0-9a-f]{64}$/.test(report.program.sha256), report.program.sha256);
    assertEquals(report.model.plans.sha256, await sha256(join(model, "plans.json")));
    assertEquals(report.model.folds.map(({ name }: { name: string }) => name), ["0", "1"]);
    assertEquals(report.model.folds[1].sha256, await sha256(join(model, "fold_1", "checkpoint_final.pth")));
    assertEquals([report.outcome, report.failed, report.engine.kind, report.engine.precision], [
      "done",
      [],
      "cpu",
      "f32",
    ]);
    assertEquals(report.cases.length, 2);
    for (const one of report.cases) {
      for (const [path, digest] of Object.entries(one.checksums)) {
        assertEquals(digest, await sha256(path), basename(path));
      }
      assertEquals(Object.keys(one.checksums).length, 2);
      const [depth, rows, columns] = one.spacing;
      for (const { voxels, ml } of one.labels) {
        assert(Math.abs(ml - voxels * depth * rows * columns / 1000) < 1e-9 * ml + 1e-12);
      }
      assert(one.labels.some(({ voxels }: { voxels: number }) => voxels > 0));
      assert(one.timings.network > 0);
    }
  });
});
