/** Metrics, summary.json and the evaluation commands against nnU-Net 2.5.1's own summaries (evaluate/make_evaluate_golden.py). */
import { UserError } from "../../core/base/errors.ts";
import { fromFileUrl, join } from "../../core/base/path.ts";
import { evaluateFolder, type Evaluation } from "../../core/evaluate/evaluate_folder.ts";
import { nanMean } from "../../core/evaluate/summary.ts";
import { labelTarget, targetsOf } from "../../core/evaluate/targets.ts";
import { readDatasetJson } from "../../core/dataset/read_dataset_json.ts";
import { writeLabels } from "../../core/formats/image/write_image.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";
import { copyFolder, inTempFolder, namesIn, runCommand } from "./cli/run_command.ts";

const GOLDEN = fromFileUrl(new URL("./evaluate/", import.meta.url));

/** Upstream's file, with this checkout's paths. */
async function expectedSummary(name: string, file = "summary.json"): Promise<string> {
  const text = await Deno.readTextFile(join(GOLDEN, name, file));
  return text.replaceAll(`"${name}/`, `"${GOLDEN}${name}/`);
}

async function evaluationOf(name: string): Promise<Evaluation> {
  const dataset = await readDatasetJson(join(GOLDEN, name, "dataset.json"));
  const { ignoreLabel } = dataset.labels;
  return {
    references: join(GOLDEN, name, "references"),
    predictions: join(GOLDEN, name, "predictions"),
    fileEnding: dataset.fileEnding,
    reader: "SimpleITKIO",
    targets: targetsOf(dataset),
    ...(ignoreLabel !== undefined && { ignoreLabel }),
    chill: false,
  };
}

Deno.test("summary.json of labels and of regions with an ignore label is upstream's, byte for byte, on one thread and on several", async () => {
  await inTempFolder(async (folder) => {
    for (const threads of [1, 3]) {
      const output = join(folder, "labels.json");
      const seen: number[] = [];
      const onCase = (done: number, of: number) => seen.push(done / of);
      const summary = await evaluateFolder({ ...await evaluationOf("labels"), output, threads, onCase });
      assertEquals(await Deno.readTextFile(output), await expectedSummary("labels"));
      assertEquals([seen.length, seen.at(-1)], [11, 1]);
      assert(Number.isNaN(summary.foregroundMean.Dice), "a label that is nowhere makes the mean NaN");

      const regions = join(folder, "regions.json");
      await evaluateFolder({ ...await evaluationOf("regions"), chill: true, output: regions, threads });
      assertEquals(await Deno.readTextFile(regions), await expectedSummary("regions"));
    }
  });
});

Deno.test("means are numpy's to the last bit, however many values there are", async () => {
  const means: Readonly<Record<string, number>> = JSON.parse(await Deno.readTextFile(join(GOLDEN, "means.json")));
  for (const [count, expected] of Object.entries(means)) {
    const values = Array.from(
      { length: Number(count) },
      (_, i) => (i + 1) % 10 ? (((i + 1) * 7919) % 1009) / 997 : NaN,
    );
    assertEquals(nanMean(values), expected, `${count} values`);
  }
});

Deno.test("evaluate_folder and evaluate_simple write upstream's files and say the Dice of each label", async () => {
  await inTempFolder(async (folder) => {
    const output = join(folder, "summary.json");
    const of = (name: string) => [join(GOLDEN, name, "references"), join(GOLDEN, name, "predictions")];
    const files = (
      name: string,
    ) => ["-djfile", join(GOLDEN, name, "dataset.json"), "-pfile", join(GOLDEN, name, "plans.json")];

    const full = await runCommand([
      "nnUNetv2_evaluate_folder",
      ...of("labels"),
      ...files("labels"),
      "-o",
      output,
      "-np",
      "2",
    ]);
    assertEquals([full.code, full.stderr], [0, ""]);
    assertEquals(await Deno.readTextFile(output), await expectedSummary("labels"));
    assert(/^10 organ 10: mean Dice 0\.\d{4}$/m.test(full.stdout), full.stdout);
    assert(full.stdout.includes("11 organ 11: mean Dice NaN (in no case)"), full.stdout);

    const pictures = await runCommand(["evaluate_simple", ...of("pictures"), "-l", "0", "1", "2", "-o", output]);
    assertEquals([pictures.code, pictures.stderr], [0, ""]);
    assertEquals(await Deno.readTextFile(output), await expectedSummary("pictures"));

    const simple = ["evaluate_simple", ...of("regions"), "-l", "2", "1", "-il", "5", "-o", output, "-np", "1"];
    const strict = await runCommand(simple);
    assertEquals(strict.code, 1);
    assert(strict.stderr.includes("has no prediction there: case_03.nii.gz"), strict.stderr);
    assertEquals((await runCommand([...simple, "--chill"])).code, 0);
    assertEquals(await Deno.readTextFile(output), await expectedSummary("regions", "simple.json"));
    assertEquals((await runCommand(["evaluate_simple", ...of("regions"), "-l", "two"])).code, 2);
  });
});

Deno.test("evaluate_simple says what is the matter with a damaged first reference, not that its ending is unknown", async () => {
  await inTempFolder(async (folder) => {
    const references = join(folder, "references");
    await copyFolder(join(GOLDEN, "regions", "references"), references);
    const [first] = (await namesIn(references)).filter((name) => name.endsWith(".nii.gz"));
    const file = join(references, first);
    await Deno.writeFile(file, (await Deno.readFile(file)).slice(0, -20));
    const { code, stderr } = await runCommand(["evaluate_simple", references, references, "-l", "1"]);
    assertEquals(code, 1);
    assert(stderr.includes(file) && stderr.includes("cut short") && !stderr.includes('".gz"'), stderr);
    await Deno.copyFile(join(GOLDEN, "regions", "references", first), file);
    const predictions = join(folder, "predictions");
    await copyFolder(references, predictions);
    const damaged = join(predictions, first);
    await Deno.writeFile(damaged, (await Deno.readFile(damaged)).slice(0, -20));
    const other = await runCommand(["evaluate_simple", references, predictions, "-l", "1"]);
    assert(other.stderr.includes(`(case ${first.replace(".nii.gz", "")}, ${damaged})`), other.stderr);
  });
});

Deno.test("--min-dice fails a run whose mean Dice is below it or is no number, after the table and the summary", async () => {
  await inTempFolder(async (folder) => {
    const output = join(folder, "summary.json");
    const of = (name: string) => [join(GOLDEN, name, "references"), join(GOLDEN, name, "predictions"), "-o", output];
    const pictures = ["evaluate_simple", ...of("pictures"), "-l", "0", "1", "2", "--min-dice"];
    // Upstream's mean of the foreground, 0.97986..., is shown as 0.9799.
    const dice: number = JSON.parse((await expectedSummary("pictures")).replaceAll("NaN", "null")).foreground_mean.Dice;
    for (const least of [0.9798, dice]) {
      const enough = await runCommand([...pictures, `${least}`]);
      assertEquals([enough.code, enough.stderr], [0, ""], `${least}`);
    }
    const low = await runCommand([...pictures, "0.9799"]);
    assertEquals(
      [low.code, low.stderr],
      [1, `error: the mean Dice of the foreground, ${dice}, is below the 0.9799 of --min-dice\n`],
    );
    assert(low.stdout.includes("3 cases, mean Dice of the foreground 0.9799"), low.stdout);
    assertEquals(await Deno.readTextFile(output), await expectedSummary("pictures"));

    const files = ["dataset.json", "plans.json"].map((name) => join(GOLDEN, "labels", name));
    const labels = ["evaluate_folder", ...of("labels"), "-djfile", files[0], "-pfile", files[1], "--min-dice", "0"];
    const nan = await runCommand(labels);
    assertEquals(
      [nan.code, nan.stderr],
      [1, "error: the mean Dice of the foreground is NaN, as a label is in no case; --min-dice asks for 0\n"],
    );
  });
});

Deno.test("without -o the summary lies beside the predictions; nothing is written where something is wrong", async () => {
  await inTempFolder(async (folder) => {
    await copyFolder(join(GOLDEN, "pictures"), folder);
    const [references, predictions] = [join(folder, "references"), join(folder, "predictions")];
    await Deno.writeTextFile(join(references, "notes.txt"), "not a segmentation");
    const command = ["evaluate_simple", references, predictions, "-l", "1"];
    assertEquals((await runCommand(command)).code, 0);
    assert((await namesIn(predictions)).includes("summary.json"));

    await Deno.remove(join(predictions, "summary.json"));
    await Deno.remove(join(references, "case_01.png"));
    const missing = await runCommand(command);
    assertEquals(missing.code, 1);
    assert(missing.stderr.includes("has no reference there: case_01.png"), missing.stderr);
    assertEquals(await namesIn(predictions), ["case_00.png", "case_01.png", "case_02.png"]);
  });
});

Deno.test("segmentations that can't be compared are refused by case and file", async () => {
  await inTempFolder(async (folder) => {
    const one: Evaluation = {
      references: join(folder, "truth"),
      predictions: join(folder, "predicted"),
      fileEnding: ".nii.gz",
      reader: "SimpleITKIO",
      targets: [labelTarget(1)],
      chill: false,
      output: join(folder, "summary.json"),
    };
    await assertFails(() => evaluateFolder(one), UserError, "there is no such folder");
    for (const side of [one.references, one.predictions]) await Deno.mkdir(side);
    await assertFails(() => evaluateFolder(one), UserError, "no file in it ends in .nii.gz");
    await assertFails(() => evaluateFolder({ ...one, output: "summary.txt" }), UserError, "does not end in .json");

    const write = async (side: string, shape: [number, number, number], origin: number) => {
      const sitk = { spacing: [1, 1, 1], origin: [origin, 0, 0], direction: [1, 0, 0, 0, 1, 0, 0, 0, 1] };
      const geometry = { reader: "SimpleITKIO", spacing: [1, 1, 1], shape, sitk } as const;
      const data = new Uint8Array(shape[0] * shape[1] * shape[2]).fill(1);
      await writeLabels("SimpleITKIO", join(side, "a.nii.gz"), { data, shape }, geometry);
    };
    await write(one.references, [2, 3, 4], 0);
    await write(one.predictions, [2, 3, 5], 0);
    await assertFails(() => evaluateFolder(one), UserError, "case a,", "its shape is 2 x 3 x 5 (z, y, x)");
    assertEquals(await namesIn(folder), ["predicted", "truth"]);

    // Upstream compares voxels and not headers, and so is it done here, with a word on it.
    await write(one.predictions, [2, 3, 4], 7);
    const warnings: string[] = [];
    const summary = await evaluateFolder({ ...one, onWarning: (message) => warnings.push(message) });
    assertEquals([summary.mean.get("1")?.Dice, warnings.length], [1, 1]);
    assert(warnings[0].includes("7.00 voxels apart"), warnings[0]);

    const file = join(one.references, "a.nii.gz");
    await Deno.writeFile(file, (await Deno.readFile(file)).subarray(0, 60));
    await assertFails(() => evaluateFolder(one), UserError, `case a, ${file}`);
  });
});
