/** Trainers of later nnU-Nets against what 2.8.1's own classes say (later_trainers/make_later_trainers.py). */
import type { Vec3 } from "../../core/base/shape.ts";
import { deriveAugmentation } from "../../core/train/augment/spec.ts";
import { learningRateOf, readRecipe } from "../../core/train/recipe.ts";
import { assertClose, assertEquals } from "../assert.ts";

interface GoldenTrainer {
  readonly epochs: number;
  readonly rates: [epoch: number, rate: number][];
  readonly augmentation: {
    readonly patch: number[];
    readonly rotation: number;
    readonly dummy2d: boolean;
    readonly loaded: number[];
    readonly mirror: number[];
    readonly inferenceMirror: number[];
  }[];
}

const GOLDEN: Record<string, GoldenTrainer> = JSON.parse(
  await Deno.readTextFile(new URL("./later_trainers/later_trainers.json", import.meta.url)),
);

for (const [name, { epochs, rates, augmentation }] of Object.entries(GOLDEN)) {
  Deno.test(`${name} has the epochs and learning rates of nnU-Net 2.8.1's`, () => {
    const recipe = readRecipe(name);
    assertEquals(recipe.epochs, epochs);
    assertClose(rates.map(([epoch]) => learningRateOf(recipe, epoch)), rates.map(([, rate]) => rate), 1e-15);
  });

  Deno.test(`${name} loads, turns and mirrors samples as nnU-Net 2.8.1's does`, () => {
    for (const expected of augmentation) {
      const flat = expected.patch.length === 2;
      const spatial = (edges: number[]) => (flat ? [1, ...edges] : edges) as unknown as Vec3;
      const configuration = {
        dimensions: flat ? 2 : 3,
        patchSize: spatial(expected.patch),
        useMaskForNorm: [false],
      } as const;
      const { spec, inferenceMirrorAxes } = deriveAugmentation(
        configuration,
        1,
        { foregroundLabels: [1] },
        readRecipe(name).augmentation,
      );
      assertEquals(spec.loadPatch, spatial(expected.loaded), String(expected.patch));
      assertEquals([spec.maxRotation, spec.planar], [expected.rotation, flat || expected.dummy2d]);
      assertEquals(spec.mirrorAxes, expected.mirror.map((axis) => flat ? axis + 1 : axis));
      assertEquals(inferenceMirrorAxes, expected.inferenceMirror);
    }
  });
}

Deno.test("a warm-up that is shortened below its 50 epochs is a warm-up alone", () => {
  const recipe = { learningRate: 0.01, schedule: "warmup", epochs: 20 } as const;
  assertClose([0, 9, 19].map((epoch) => learningRateOf(recipe, epoch)), [0.0002, 0.002, 0.004], 1e-15);
});
