/** `nnunet verify` against segmentations of the real nnU-Net 2.5.1 (models/make_models.py) and its metrics (evaluate/). */
import { fromFileUrl, join } from "../../core/base/path.ts";
import { compareLabels } from "../../core/evaluate/agreement/compare_labels.ts";
import { targetsOf } from "../../core/evaluate/targets.ts";
import { readDatasetJson } from "../../core/dataset/read_dataset_json.ts";
import { readWideLabels } from "../../core/formats/image/read_image.ts";
import { writeLabels } from "../../core/formats/image/write_image.ts";
import { assert, assertEquals } from "../assert.ts";
import { GOLDEN, inTempFolder, namesIn, runCommand } from "./cli/run_command.ts";

const EVALUATED = fromFileUrl(new URL("./evaluate/labels/", import.meta.url));

interface UpstreamCase {
  readonly prediction_file: string;
  readonly reference_file: string;
  readonly metrics: Readonly<
    Record<
      string,
      { readonly Dice: number | null; readonly n_pred: number; readonly n_ref: number; readonly TP: number }
    >
  >;
}

Deno.test("Dice and voxels of each class are upstream's, and the places hold all voxels that differ", async () => {
  const summary: { readonly metric_per_case: readonly UpstreamCase[] } = JSON.parse(
    (await Deno.readTextFile(join(EVALUATED, "summary.json"))).replaceAll("NaN", "null"),
  );
  const targets = targetsOf(await readDatasetJson(join(EVALUATED, "dataset.json")));
  for (const { prediction_file, reference_file, metrics } of summary.metric_per_case) {
    const read = (file: string) => readWideLabels("SimpleITKIO", join(EVALUATED, "..", file));
    const [ours, reference] = [await read(prediction_file), await read(reference_file)];
    const { shape } = ours.geometry;
    const agreement = compareLabels(ours.data, reference.data, shape, targets);
    for (const { key, voxels, referenceVoxels, common, dice } of agreement.targets) {
      const { Dice, n_pred, n_ref, TP } = metrics[key];
      assertEquals(
        [voxels, referenceVoxels, common, dice],
        [n_pred, n_ref, TP, Dice ?? NaN],
        `${prediction_file}, ${key}`,
      );
    }
    const differs = Array.from(ours.data, (label, i) => label !== reference.data[i]);
    assertEquals(agreement.differing, differs.filter(Boolean).length);
    const inSlice = Array.from(
      { length: shape[0] },
      (_, z) => differs.slice(z * shape[1] * shape[2], (z + 1) * shape[1] * shape[2]).filter(Boolean).length,
    );
    assertEquals(agreement.where?.inSlice ?? 0, Math.max(...inSlice));
    if (agreement.where) assertEquals(inSlice[agreement.where.slice], agreement.where.inSlice);
  }
});

Deno.test("The place of a difference is its smallest box, of all classes and of the one that it is of", () => {
  const shape = [2, 3, 4] as const;
  const [ours, reference] = [new Uint8Array(24), new Uint8Array(24)];
  ours[5] = 1; // z 0, y 1, x 1
  reference[18] = 2; // z 1, y 1, x 2
  reference[23] = 2; // z 1, y 2, x 3
  const { where, targets } = compareLabels(
    ours,
    reference,
    shape,
    [1, 2, 3].map((n) => ({ key: `${n}`, labels: [n] })),
  );
  assertEquals(where, { box: { low: [0, 1, 1], high: [2, 3, 4] }, slice: 1, inSlice: 2 });
  assertEquals(targets.map((target) => target.where?.box), [
    { low: [0, 1, 1], high: [1, 2, 2] },
    { low: [1, 1, 2], high: [2, 3, 4] },
    undefined,
  ]);
});

/** Python's segmentations of a golden model's images. */
async function pythonFolder(model: string, folder: string): Promise<string> {
  const against = join(folder, "python");
  await Deno.mkdir(against);
  const expected = join(GOLDEN, "expected", model);
  for (const name of await namesIn(expected)) {
    if (!name.endsWith(".npz")) await Deno.copyFile(join(expected, name), join(against, name));
  }
  return against;
}

function verify(model: string, against: string, output: string, ...more: readonly string[]) {
  const folders = [join(GOLDEN, "models", model), join(GOLDEN, "images", model)];
  return runCommand(["verify", ...folders, "--against", against, "-o", output, "-f", "0", "-device", "cpu", ...more]);
}

async function reportIn(folder: string) {
  return JSON.parse(await Deno.readTextFile(join(folder, "verification.json")));
}

for (const model of ["regions_ignore", "rgb_png"]) {
  Deno.test(`verify finds the model ${model} to agree with Python's segmentations, and writes page and report`, async () => {
    await inTempFolder(async (folder) => {
      const output = join(folder, "verification");
      const { code, stderr } = await verify(model, await pythonFolder(model, folder), output, "--max-voxels", "2");
      assertEquals([code, stderr], [0, ""]);
      const report = await reportIn(output);
      assertEquals([report.verdict, report.totals.cases, report.failed], ["passed", 2, []]);
      assertEquals(report.model.folds[0].sha256.length, 64);
      assertEquals(report.cases.map((one: { reference: { sha256: string } }) => one.reference.sha256.length), [64, 64]);
      const page = await Deno.readTextFile(join(output, "verification.html"));
      for (const text of ["passed", report.model.folds[0].sha256, report.program.version, report.engine.description]) {
        assert(page.includes(text), text);
      }
      assert(page.includes(model === "rgb_png" ? "(PNG)" : "(NIfTI)"), "the format of the images is named");
      assertEquals(/(src|href)="(?!data:)/.test(page), false, "nothing is loaded from anywhere");
    });
  });
}

Deno.test("verify says where a case differs, draws the worst, and fails below --min-dice and above --max-voxels", async () => {
  await inTempFolder(async (folder) => {
    const against = await pythonFolder("no_mirroring", folder);
    const changed = join(against, "test_001.nii.gz");
    const { data, geometry } = await readWideLabels("SimpleITKIO", changed);
    const labels = Uint8Array.from(data);
    const [, height, width] = geometry.shape;
    const at = (3 * height + 5) * width + 2;
    labels.set(labels.subarray(at, at + 4).map((label) => label === 0 ? 1 : 0), at);
    await writeLabels("SimpleITKIO", changed, { data: labels, shape: geometry.shape }, geometry);

    const output = join(folder, "v");
    const failing = await verify("no_mirroring", against, output, "--max-voxels", "3", "--min-dice", "1");
    assertEquals(failing.code, 1);
    assert(failing.stderr.includes("voxels of test_001 differ, more than the 3 allowed"), failing.stderr);
    assert(failing.stderr.includes("below the 1 asked for"), failing.stderr);
    const report = await reportIn(output);
    assertEquals([report.verdict, report.reasons.length], ["failed", 2]);
    const { where, differing, classes } = report.cases[1];
    assert(differing >= 4 && differing <= 6, `${differing}`);
    assert(where.low[0] <= 3 && where.high[0] > 3 && where.low[2] <= 2 && where.high[2] >= 6, JSON.stringify(where));
    assert(classes.some((one: { ml: number; referenceMl: number }) => one.ml !== one.referenceMl), "a volume differs");
    assert(
      (await Deno.readTextFile(join(output, "verification.html"))).includes("data:image/png;base64,"),
      "a picture is there",
    );

    const unjudged = await verify("no_mirroring", against, output, "--continue_prediction", "--quiet");
    assertEquals([unjudged.code, (await reportIn(output)).verdict], [0, "compared"]);
  });
});

Deno.test("verify names all cases without a counterpart before it predicts; unknown labels, other grids and damage are their case's", async () => {
  await inTempFolder(async (folder) => {
    const against = await pythonFolder("no_mirroring", folder);
    const output = join(folder, "v");
    const [first, second] = ["test_000", "test_001"].map((id) => join(against, `${id}.nii.gz`));
    await Deno.rename(first, join(against, "other.nii.gz"));
    await Deno.rename(second, join(against, "another.nii.gz"));
    const missing = await verify("no_mirroring", against, output);
    assertEquals(missing.code, 1);
    assert(
      missing.stderr.includes("2 cases have no segmentation to compare with there: test_000, test_001"),
      missing.stderr,
    );
    assertEquals((await namesIn(folder)).includes("v"), false, "nothing was begun");

    await Deno.rename(join(against, "other.nii.gz"), first);
    await Deno.copyFile(first, second);
    const extra = await verify("no_mirroring", against, output);
    assert(extra.stderr.includes("1 case has no image there: another"), extra.stderr);

    // The other case's: it has another shape.
    const { data, geometry } = await readWideLabels("SimpleITKIO", first);
    await writeLabels(
      "SimpleITKIO",
      first,
      { data: Uint8Array.from(data).fill(77, 0, 1), shape: geometry.shape },
      geometry,
    );
    const wrong = await verify("no_mirroring", against, output, "--chill");
    assertEquals(wrong.code, 1);
    assert(wrong.stderr.includes("labels that the model's dataset.json does not have: 77"), wrong.stderr);
    assert(wrong.stderr.includes("2 cases could not be compared: test_000, test_001"), wrong.stderr);
    assertEquals((await reportIn(output)).failed.map((one: { id: string }) => one.id), ["test_000", "test_001"]);

    const into = await verify("no_mirroring", against, against, "--chill");
    assertEquals(into.code, 1);
    assert(into.stderr.includes("is the folder of the segmentations to compare with"), into.stderr);
  });
});
