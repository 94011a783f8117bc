import { assert, assertEquals, assertFails } from "../assert.ts";
import { countOverlaps, dice, labelOverlaps } from "../../core/evaluate/overlap.ts";
import { evaluateCase } from "../../core/evaluate/evaluate_case.ts";
import { labelTarget } from "../../core/evaluate/targets.ts";
import { UserError } from "../../core/base/errors.ts";
import { join } from "../../core/base/path.ts";
import { inTempFolder } from "../golden/cli/run_command.ts";
import { niftiBytes } from "./raw_dataset_fixture.ts";

Deno.test("overlaps count every label in one pass, and Dice follows from them", () => {
  const overlaps = labelOverlaps([0, 1, 1, 2, 2, 7], [0, 1, 2, 2, 2, 1], [1, 2, 3]);
  assertEquals(overlaps.get(1), { TP: 1, FP: 1, FN: 1, TN: 3 });
  assertEquals(overlaps.get(2), { TP: 2, FP: 0, FN: 1, TN: 3 });
  assertEquals([...overlaps.values()].slice(0, 2).map(dice), [0.5, 0.8]);
});

Deno.test("the Dice of a label that is in neither segmentation is NaN, as upstream's", () => {
  const overlap = labelOverlaps([0, 1], [0, 1], [1, 3]).get(3);
  assert(overlap && Number.isNaN(dice(overlap)));
});

Deno.test("segmentations of different lengths are not compared", async () => {
  await assertFails(() => labelOverlaps([0], [0, 1], [1]), RangeError, "1 and 2 voxels");
});

Deno.test("labels far apart are counted as others are", () => {
  const of = (labels: readonly number[]) => (value: number) => labels[value];
  const [prediction, reference] = [[0, 1, 1, 2, 3, 0], [0, 1, 2, 2, 3, 3]];
  const near = [0, 1, 2, 3];
  for (const labels of [[0, 1, 65535, 40000], [0, -5, 2 ** 31 - 1, 70000]]) {
    const [p, r] = [prediction.map(of(labels)), reference.map(of(labels))];
    assertEquals(
      countOverlaps(p, r, labels.slice(1, 3).map(labelTarget), labels[3]),
      countOverlaps(prediction, reference, near.slice(1, 3).map(labelTarget), near[3]),
    );
  }
});

Deno.test("files with labels up to 65535 and beyond are compared; fractions are no labels", () =>
  inTempFolder(async (folder) => {
    const write = async (name: string, valueAt: (x: number) => number) => {
      await Deno.writeFile(join(folder, name), niftiBytes({ valueAt }));
      return join(folder, name);
    };
    const referenceFile = await write("reference.nii.gz", (x) => [0, 65535, 65535, 100000, 40000][x] ?? 0);
    const predictionFile = await write("prediction.nii.gz", (x) => [0, 65535, 40000, 100000, 40000][x] ?? 0);
    const fractions = await write("fractions.nii.gz", (x) => x / 2);
    const targets = [65535, 40000, 100000].map(labelTarget);
    const job = { caseId: "x", reader: "SimpleITKIO", predictionFile, referenceFile, targets } as const;
    const { overlaps } = await evaluateCase(job);
    assertEquals(overlaps.map(({ TP, FP, FN }) => [TP / 42, FP / 42, FN / 42]), [[1, 0, 1], [1, 1, 0], [1, 0, 0]]);
    await assertFails(
      () => evaluateCase({ ...job, predictionFile: fractions }),
      UserError,
      "case x",
      "0.5, which is not a whole number",
    );
  }));
