/** Postprocessing against nnU-Net 2.5.1's own (postprocess/make_postprocess_golden.py). */
import { UserError } from "../../core/base/errors.ts";
import { fromFileUrl, join } from "../../core/base/path.ts";
import { readLabels } from "../../core/formats/image/read_image.ts";
import type { ReaderName } from "../../core/formats/image/image.ts";
import { applyPostprocessing } from "../../core/postprocess/apply.ts";
import { decisionLine } from "../../core/postprocess/decision_line.ts";
import { determinePostprocessing } from "../../core/postprocess/determine.ts";
import { filterLabels } from "../../core/postprocess/filter_labels.ts";
import { readPostprocessingInputs } from "../../core/postprocess/inputs.ts";
import { parseSteps, pickleSteps, readSteps } from "../../core/postprocess/postprocessing_file.ts";
import type { PostprocessingStep } from "../../core/postprocess/steps.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";
import { copyFolder, inTempFolder, namesIn, runCommand } from "./cli/run_command.ts";

/** Another folder that make_postprocess_golden.py has filled, with another seed. */
const OTHER = Deno.env.get("NNUNET_TEST_POSTPROCESSING");
const GOLDEN = OTHER ?? fromFileUrl(new URL("./postprocess", import.meta.url));
const DATASETS = ["labels", "whole", "single", "nothing", "regions", "pictures"];

/** Upstream's folder as it was before: the segmentations and the two JSON files. */
async function withoutResults(name: string, folder: string): Promise<string> {
  await copyFolder(join(GOLDEN, name), join(folder, name));
  const predictions = join(folder, name, "predictions");
  await Deno.remove(join(predictions, "postprocessed"), { recursive: true });
  for (const file of ["summary.json", "postprocessing.json", "postprocessing.pkl"]) {
    await Deno.remove(join(predictions, file));
  }
  return predictions;
}

async function voxelsIn(folder: string, reader: ReaderName, ending: string): Promise<Map<string, string>> {
  const names = (await namesIn(folder)).filter((name) => name.endsWith(ending));
  const found = new Map<string, string>();
  for (const name of names) {
    const { labels, geometry } = await readLabels(reader, join(folder, name));
    found.set(name, `${geometry.shape} ${geometry.spacing}: ${labels.data.join("")}`);
  }
  return found;
}

for (const name of DATASETS) {
  Deno.test(`Postprocessing of "${name}": decisions, voxels and every byte of the JSON files are upstream's`, async () => {
    await inTempFolder(async (folder) => {
      const predictions = await withoutResults(name, folder);
      const golden = join(GOLDEN, name, "predictions");
      const { dataset, reader } = await readPostprocessingInputs(predictions, {});
      const lines: string[] = [];
      const warnings: string[] = [];
      const { steps } = await determinePostprocessing({
        predictions,
        references: join(folder, name, "references"),
        dataset,
        reader,
        keepPostprocessed: true,
        threads: name === "labels" ? 2 : 1,
        onDecision: (decision) => lines.push(decisionLine(decision)),
        onWarning: (message) => warnings.push(message),
      });
      const printed = (await Deno.readTextFile(join(GOLDEN, name, "printed.txt"))).trim().split("\n");
      assertEquals(lines, printed.filter((line) => !line.startsWith("WARNING")));
      assertEquals(warnings.length, printed.length - lines.length);

      const text = async (file: string) =>
        (await Deno.readTextFile(join(predictions, file))).replaceAll(`"${folder}/`, '"');
      for (const file of ["summary.json", "postprocessing.json", "postprocessed/summary.json"]) {
        assertEquals(await text(file), await Deno.readTextFile(join(golden, file)), file);
      }
      assertEquals(
        steps.map(({ labels }) => labels),
        (await readSteps(join(golden, "postprocessing.pkl"))).map(({ labels }) => labels),
      );
      assertEquals(
        await readSteps(join(predictions, "postprocessing.pkl")),
        await readSteps(join(golden, "postprocessing.pkl")),
      );
      const ending = dataset.fileEnding;
      const expected = await voxelsIn(join(golden, "postprocessed"), reader, ending);
      assertEquals(await voxelsIn(join(predictions, "postprocessed"), reader, ending), expected);
      assertEquals(await namesIn(join(predictions, "postprocessed")), await namesIn(join(golden, "postprocessed")));
      assertEquals(await namesIn(predictions), await namesIn(golden));

      const applied = join(folder, "applied");
      const result = await applyPostprocessing({
        input: predictions,
        output: applied,
        fileEnding: ending,
        reader,
        steps: await readSteps(join(golden, "postprocessing.pkl")),
        threads: 2,
      });
      assertEquals(result.failed, []);
      assertEquals(await voxelsIn(applied, reader, ending), expected);
    });
  });
}

Deno.test("Of components of equal size all are kept; labels together and each alone, as upstream's function does", async () => {
  const folder = join(GOLDEN, "ties");
  const read = async (name: string) => (await readLabels("SimpleITKIO", join(folder, name))).labels;
  const filters: readonly (number | readonly (number | readonly number[])[])[] = JSON.parse(
    await Deno.readTextFile(join(folder, "filters.json")),
  );
  const before = await read("before.nii.gz");
  for (const [i, written] of filters.entries()) {
    const labels = [written].flat(2);
    const data = Uint8Array.from(before.data);
    const changed = filterLabels(data, before.shape, [{ labels, background: 0 }]);
    const expected = await read(`after_${i}.nii.gz`);
    assertEquals([...data], [...expected.data], JSON.stringify(written));
    assertEquals(changed, data.reduce((sum, label, voxel) => sum + Number(label !== before.data[voxel]), 0));
  }
});

Deno.test("Filters in one go do what they do one after the other, also where removed voxels become a label of a later one", async () => {
  const { data, shape } = (await readLabels("SimpleITKIO", join(GOLDEN, "ties", "before.nii.gz"))).labels;
  const filters = [
    { labels: [1, 3], background: 2 },
    { labels: [2], background: 0 },
    { labels: [0, 1], background: 3 },
    { labels: [2, 3], background: 0 },
  ];
  const together = Uint8Array.from(data);
  filterLabels(together, shape, filters);
  const alone = Uint8Array.from(data);
  for (const filter of filters) filterLabels(alone, shape, [filter]);
  assertEquals([...together], [...alone]);
  assert(new Set(together).size > 1, "something is left to compare");
});

Deno.test("postprocessing.pkl of every protocol is read, labels, regions and numpy's integers; another function is refused by its name", async () => {
  const folder = join(GOLDEN, "ties");
  const protocols = (await namesIn(folder)).filter((name) => name.startsWith("protocol_"));
  assertEquals(protocols.length, 6);
  for (const name of protocols) {
    const steps = await readSteps(join(folder, name));
    assertEquals(
      steps.map(({ labels, background }) => [...labels, background]),
      [[1, 2, 3, 0], [1, 2, 0], [3, 0]],
      name,
    );
  }
  await assertFails(() => readSteps(join(folder, "other_function.pkl")), UserError, "os.system", "nothing was run");
});

Deno.test("Steps come back as they were written, and a pickle names nothing but nnU-Net's function", () => {
  const steps: readonly PostprocessingStep[] = [
    { labels: [1, 2, 300], written: "list", background: 0 },
    { labels: [7], written: "label", background: 0 },
    { labels: [2, 3], written: "region", background: 0 },
    { labels: [4], written: "region", background: 0 },
  ];
  const bytes = pickleSteps(steps);
  assertEquals(parseSteps(bytes, "own.pkl").map(({ labels }) => labels), steps.map(({ labels }) => labels));
  const text = new TextDecoder("latin1").decode(bytes);
  assertEquals(new Set(text.match(/c[\w.]+\n\w+\n/g)).size, 1);
  assertEquals(parseSteps(pickleSteps([]), "own.pkl"), []);
});

Deno.test("A postprocessing that is none is refused with what is wrong: lists, functions, arguments, labels", async () => {
  const refuses = async (fns: unknown, kwargs: unknown, says: string) => {
    await inTempFolder(async (folder) => {
      const file = join(folder, "postprocessing.json");
      await Deno.writeTextFile(file, JSON.stringify({ postprocessing_fns: fns, postprocessing_kwargs: kwargs }));
      await assertFails(() => readSteps(file), UserError, says);
    });
  };
  const name = "remove_all_but_largest_component_from_segmentation";
  await refuses(undefined, undefined, "no lists");
  await refuses([name], [], "1 functions and arguments for 0");
  await refuses(["os.remove"], [{}], 'the function "os.remove"');
  await refuses([name], [{ labels_or_regions: 1, path: "x" }], '"path" is not known');
  for (const labels of [-1, 65536, 1.5, "1", [], [[]], [1, [2, [3]]], null]) {
    await refuses([name], [{ labels_or_regions: labels }], "labels_or_regions is");
  }
  await refuses([name], [{ labels_or_regions: 1, background_label: 256 }], "background_label is 256");
  await assertFails(
    () => Promise.resolve(parseSteps(Uint8Array.of(0x80, 4, 0x4b, 1, 0x2e), "x.pkl")),
    UserError,
    "no postprocessing",
  );
});

Deno.test("determine_postprocessing says all predictions without a reference, other shapes, and a summary of other segmentations", async () => {
  await inTempFolder(async (folder) => {
    const predictions = await withoutResults("single", folder);
    const references = join(folder, "single", "references");
    const run = async (warnings: string[] = []) => {
      const { dataset, reader } = await readPostprocessingInputs(predictions, {});
      const onWarning = (message: string) => warnings.push(message);
      return await determinePostprocessing({
        predictions,
        references,
        dataset,
        reader,
        keepPostprocessed: false,
        threads: 1,
        onWarning,
      });
    };
    const { before } = await run();
    assertEquals((await namesIn(predictions)).includes("postprocessed"), false, "nothing postprocessed is kept");

    const summary = join(predictions, "summary.json");
    const other = (await Deno.readTextFile(summary)).replaceAll(String(before), "0.999");
    await Deno.writeTextFile(summary, other);
    const warnings: string[] = [];
    assertEquals((await run(warnings)).steps, [], "0.999 is not improved upon, as in Python");
    assert(warnings.some((line) => line.includes("is not of these segmentations")), warnings.join());
    await Deno.writeTextFile(summary, other.replaceAll('"1":', '"2":'));
    await assertFails(() => run(), UserError, "there is no mean Dice of 1");
    await Deno.remove(summary);

    await Deno.copyFile(join(GOLDEN, "ties", "before.nii.gz"), join(references, "case_01.nii.gz"));
    await assertFails(() => run(), UserError, "case case_01");
    for (const name of ["case_00", "case_02"]) await Deno.remove(join(references, `${name}.nii.gz`));
    await assertFails(() => run(), UserError, "2 of 3 predictions in");
    await assertFails(() => run(), UserError, "case_00.nii.gz, case_02.nii.gz");
    assertEquals((await namesIn(predictions)).includes("postprocessed"), false);
    await Deno.remove(join(predictions, "plans.json"));
    await assertFails(() => run(), UserError, "-plans_json");
  });
});

Deno.test("The two commands say upstream's lines; a case that fails leaves the others alone, and nothing is written over the input", async () => {
  await inTempFolder(async (folder) => {
    const predictions = await withoutResults("labels", folder);
    const determine = [
      "nnUNetv2_determine_postprocessing",
      "-i",
      predictions,
      "-ref",
      join(folder, "labels", "references"),
      "-np",
      "1",
    ];
    const found = await runCommand(determine);
    const printed = await Deno.readTextFile(join(GOLDEN, "labels", "printed.txt"));
    assertEquals([found.code, found.stderr], [0, ""]);
    assert(found.stdout.startsWith(printed), found.stdout);

    const damaged = join(predictions, "case_03.nii.gz");
    await Deno.writeFile(damaged, (await Deno.readFile(damaged)).subarray(0, 100));
    const pkl = join(predictions, "postprocessing.pkl");
    const apply = (
      output: string,
    ) => ["apply_postprocessing", "-i", predictions, "-o", output, "-pp_pkl_file", pkl, "-np", "2"];
    const applied = await runCommand(apply(join(folder, "out")));
    assertEquals(applied.code, 1);
    assert(applied.stderr.includes("case_03"), applied.stderr);
    assert(applied.stderr.includes("1 of 5 cases could not be postprocessed"), applied.stderr);
    assertEquals(
      await namesIn(join(folder, "out")),
      ["case_00", "case_01", "case_02", "case_04"].map((id) => `${id}.nii.gz`),
    );
    const over = await runCommand(apply(predictions));
    assertEquals(over.code, 1);
    assert(over.stderr.includes("would overwrite"), over.stderr);
  });
});
