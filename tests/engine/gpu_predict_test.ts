/**
 * Whole predictions on the GPU engine against those of the real nnU-Net 2.5.1, on whatever adapter there is: the small models made by
 * tests/golden/models/make_models.py. Skipped without an adapter, unless NNUNET_TEST_GPU=required.
 */
import { UserError } from "../../core/base/errors.ts";
import { fromFileUrl } from "../../core/base/path.ts";
import { createGpuEngine } from "../../gpu/engine.ts";
import type { Engine } from "../../core/engine/engine.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";
import { modelNames, predictAndCompare } from "../golden/predict_agreement.ts";
import { ignore } from "../without_gpu.ts";

const ROOT = fromFileUrl(new URL("../golden/models", import.meta.url));

/** As on the CPU: Dice of each label, or so few voxels that one more or less changes it; share of equal labels. */
const LEAST_DICE = 0.999;
const MOST_DIFFERING = 20;
const LEAST_EQUAL = 0.9995;
const LEAST_CLOSE = 0.995;

for (const name of modelNames(ROOT)) {
  Deno.test({ name: `the GPU's predictions of the model ${name} agree with upstream's`, ignore }, async () => {
    const output = await Deno.makeTempDir();
    try {
      await using engine = await createGpuEngine({ allowSoftware: true });
      const { summary, cases } = await predictAndCompare(engine, ROOT, name, output);
      assertEquals(summary.failed, []);
      assert(cases.length > 0, "there are images");
      for (const { id, equal, labels, closeProbabilities } of cases) {
        assert(equal >= LEAST_EQUAL, `${id}: ${(100 * equal).toFixed(4)} % of the voxels have upstream's label`);
        for (const [label, { dice, differing }] of labels) {
          const agrees = dice >= LEAST_DICE || differing <= MOST_DIFFERING;
          assert(agrees, `${id}: label ${label} has a Dice of ${dice.toFixed(5)}, ${differing} voxels differ`);
        }
        assert((closeProbabilities ?? 1) >= LEAST_CLOSE, `${id}: ${closeProbabilities} of the probabilities are close`);
      }
    } finally {
      await Deno.remove(output, { recursive: true });
    }
  });
}

Deno.test({ name: "a GPU that is gone half-way leaves no file that is only partly written", ignore }, async () => {
  const output = await Deno.makeTempDir();
  try {
    await using engine = await createGpuEngine({ allowSoftware: true });
    let runs = 0;
    const dying: Engine = {
      ...engine,
      run(program, weights) {
        if (++runs === 2) setTimeout(() => engine.device.destroy());
        engine.run(program, weights);
      },
    };
    // The comparison misses the first case's file.
    await assertFails(() => predictAndCompare(dying, ROOT, "slices_2d", output), UserError, "there is no such file");
    assert(engine.lastFailure instanceof UserError && engine.lastFailure.message.includes("the device was lost"));
    const left = [...Deno.readDirSync(output)].map(({ name }) => name).sort();
    assertEquals(left, ["dataset.json", "plans.json"]);
  } finally {
    await Deno.remove(output, { recursive: true });
  }
});
