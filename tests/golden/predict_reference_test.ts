/**
 * Whole predictions against those of the real nnU-Net 2.5.1: the models made by models/make_models.py, and the larger reference
 * models where they lie beside the checkout.
 */
import { createCpuEngine } from "../../cpu/engine.ts";
import { fromFileUrl } from "../../core/base/path.ts";
import { assert, assertEquals } from "../assert.ts";
import { type Agreement, modelNames, predictAndCompare } from "./predict_agreement.ts";

const ROOTS = ["models", "../../../shared/reference"].map((path) => fromFileUrl(new URL(path, import.meta.url)));

/** A label agrees if its Dice is at least this, or if at most that many voxels differ. */
const LEAST_DICE = 0.999;
const MOST_DIFFERING = 20;
const LEAST_EQUAL = 0.9995;
const LEAST_CLOSE = 0.995;

for (const root of ROOTS) {
  for (const name of modelNames(root)) {
    Deno.test(`predictions of the model ${name} agree with upstream's`, async () => {
      const output = await Deno.makeTempDir();
      try {
        await using engine = await createCpuEngine();
        const { summary, cases } = await predictAndCompare(engine, root, name, output);
        assertEquals(summary.failed, []);
        assert(cases.length > 0, "there are images");
        for (const one of cases) assertAgrees(one);
        assert(cases.some((one) => one.closeProbabilities !== undefined), "probabilities are compared");
        assert(cases.some((one) => one.labels.size > 1), "more than background is there");
      } finally {
        await Deno.remove(output, { recursive: true });
      }
    });
  }
}

function assertAgrees({ id, equal, labels, closeProbabilities, comparedProbabilities = 0 }: Agreement): void {
  assert(equal >= LEAST_EQUAL, `${id}: ${(100 * equal).toFixed(4)} % of the voxels have upstream's label`);
  for (const [label, { dice, differing }] of labels) {
    assert(
      dice >= LEAST_DICE || differing <= MOST_DIFFERING,
      `${id}: label ${label} has a Dice of ${dice.toFixed(5)} with upstream's, ${differing} voxels differ`,
    );
  }
  if (closeProbabilities === undefined) return;
  assert(comparedProbabilities > 0.5, `${id}: most probabilities are compared`);
  assert(
    closeProbabilities >= LEAST_CLOSE,
    `${id}: ${(100 * closeProbabilities).toFixed(3)} % of the probabilities are within 3e-3 of upstream's`,
  );
}
