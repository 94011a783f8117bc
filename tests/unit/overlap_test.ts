import { assert, assertEquals, assertFails } from "../assert.ts";
import { dice, labelOverlaps } from "../../core/evaluate/overlap.ts";

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
