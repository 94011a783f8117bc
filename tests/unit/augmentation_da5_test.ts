/** nnUNetTrainerDA5: what it makes of a configuration, samples that do not depend on memory used before, and whole trainings. */
import { createRandomStream } from "../../core/base/random_stream.ts";
import { join } from "../../core/base/path.ts";
import { type Vec3, voxelCount } from "../../core/base/shape.ts";
import { openCheckpoint } from "../../core/formats/torch/torch_checkpoint.ts";
import { augmentSample, validationSample } from "../../core/train/augment/augment_sample.ts";
import { medianFilter } from "../../core/train/augment/median.ts";
import { drawAugmentation } from "../../core/train/augment/draw_augmentation.ts";
import { createAugmentationBuffers } from "../../core/train/augment/sample.ts";
import { type AugmentationSpec, deriveAugmentation } from "../../core/train/augment/spec.ts";
import { STANDARD_AUGMENTATION } from "../../core/trainers/training_recipe.ts";
import { readRecipe } from "../../core/train/recipe.ts";
import { trainModel } from "../../core/train/train_model.ts";
import { assert, assertEquals } from "../assert.ts";
import { inFolder, listening, makePreprocessed, trainRequest } from "./train_fixture.ts";
import { randomNumbers } from "./predict_fixture.ts";

const DA5 = { ...STANDARD_AUGMENTATION, recipe: "da5" } as const;

function derived(patchSize: Vec3, more: { readonly previousStage?: string } = {}) {
  const dimensions = patchSize[0] === 1 ? 2 : 3;
  const configuration = { dimensions, patchSize, useMaskForNorm: [false, true], ...more } as const;
  return deriveAugmentation(configuration, 2, { foregroundLabels: [1, 2] }, DA5);
}

Deno.test("DA5's trainers are what their names say", () => {
  const { epochs, augmentation } = readRecipe("nnUNetTrainerDA5_10epochs");
  assertEquals([epochs, augmentation], [10, DA5]);
  assertEquals(readRecipe("nnUNetTrainerDA5", { epochs: 10 }).folderName, "nnUNetTrainerDA5_10epochs");
  assertEquals(readRecipe("nnUNetTrainerDA5Segord0").augmentation, { ...DA5, labelInterpolation: "nearest" });
  assertEquals(readRecipe("nnUNetTrainerDA5ord0").augmentation, {
    ...DA5,
    labelInterpolation: "nearest",
    imageInterpolation: "nearest",
  });
});

Deno.test("axes are turned into each other where the most of equal length are", () => {
  const axes = (patch: Vec3) => derived(patch).spec.turnableAxes;
  assertEquals(axes([16, 16, 16]), [0, 1, 2]);
  assertEquals(axes([16, 24, 16]), [0, 2]);
  assertEquals(axes([4, 24, 24]), [1, 2]);
  assertEquals(axes([16, 20, 24]), []);
  assertEquals(axes([1, 24, 24]), [1, 2]);
  assertEquals(axes([1, 20, 24]), []);
  const { spec, inferenceMirrorAxes } = derived([16, 24, 16]);
  assertEquals([spec.mirrorAxes, inferenceMirrorAxes], [[0, 1, 2], [0, 1, 2]]);
});

const SPECS: readonly [string, AugmentationSpec][] = [
  ["3-D", derived([12, 14, 12]).spec],
  ["3-D with a previous stage", derived([12, 12, 12], { previousStage: "3d_lowres" }).spec],
  ["thick slices", derived([5, 20, 20]).spec],
  ["2-D", derived([1, 20, 20]).spec],
  // Thinner than upstream's ranges allow.
  ["two slices", derived([2, 6, 5]).spec],
  ["one slice of 3-D", { ...derived([3, 6, 6]).spec, patch: [1, 6, 6], loadPatch: [1, 12, 12] }],
];

for (const [name, spec] of SPECS) {
  Deno.test(`DA5's samples do not depend on what the memory held before: ${name}`, () => {
    const size = spec.loadPatch;
    const labels = Int16Array.from({ length: voxelCount(size) }, (_, i) => (Math.floor(i / 5) % 4) - 1);
    const loaded = {
      image: Float32Array.from({ length: spec.channels * voxelCount(size) }, (_, i) => Math.sin(i * 0.7)),
      labels,
      ...(spec.cascadeLabels ? { previous: labels.map((label) => Math.max(label, 0)) } : {}),
      size,
    };
    const used = createAugmentationBuffers(spec);
    const kinds = new Set<string>();
    for (let iteration = 0; iteration < 60; iteration++) {
      const stream = createRandomStream({ seed: 5, epoch: 0, iteration, sample: 0, purpose: 1 });
      const parameters = drawAugmentation(stream, spec);
      parameters.steps.forEach(({ kind }) => kinds.add(kind));
      const again = augmentSample(spec, loaded, structuredClone(parameters), used);
      const fresh = augmentSample(spec, loaded, parameters, createAugmentationBuffers(spec));
      assertEquals(again, fresh);
      assert(again.image.every(Number.isFinite) && again.labels.every((label) => label >= 0 && label <= 2));
    }
    assert(kinds.size >= 11, [...kinds].join());
  });
}

Deno.test("DA5 leaves validation samples as they are", () => {
  const [, spec] = SPECS[0];
  const image = randomNumbers(2 * voxelCount(spec.patch), 3);
  const labels = new Int16Array(voxelCount(spec.patch)).fill(-1);
  const result = validationSample(spec, { image, labels, size: spec.patch }, createAugmentationBuffers(spec));
  assertEquals(result.image, image);
  assert(result.labels.every((label) => label === 0));
});

Deno.test("medians are the window's own values, also where many share a level of the histogram", () => {
  const size: Vec3 = [5, 6, 7];
  // One far value: all others are within a level or two.
  const image = randomNumbers(voxelCount(size), 9).map((value, i) => i === 100 ? 1e6 : value);
  const result = image.slice();
  medianFilter(result, size, 3, [new Float32Array(image.length), new Float32Array(image.length)]);
  const at = (i: number, n: number) => i < 0 ? -1 - i : i >= n ? 2 * n - 1 - i : i;
  for (let i = 0; i < image.length; i++) {
    const [z, y, x] = [Math.floor(i / 42), Math.floor(i / 7) % 6, i % 7];
    const window: number[] = [];
    for (let k = 0; k < 27; k++) {
      const row = at(z + Math.floor(k / 9) - 1, 5) * 6 + at(y + Math.floor(k / 3) % 3 - 1, 6);
      window.push(image[row * 7 + at(x + k % 3 - 1, 7)]);
    }
    assertEquals(result[i], window.sort((a, b) => a - b)[13]);
  }
});

for (const trainerName of ["nnUNetTrainerDA5", "nnUNetTrainerDA5Segord0", "nnUNetTrainerDA5ord0"]) {
  Deno.test(`a training with ${trainerName} ends in its checkpoint, the same bits with any number of threads`, () =>
    inFolder(async (folder) => {
      const folders = await makePreprocessed(folder);
      const contents: unknown[] = [];
      for (const sampleThreads of [0, 2]) {
        const results = { ...folders, results: join(folder, `threads_${sampleThreads}`) };
        const changes = { epochs: 2, iterations: 3, name: "test" };
        const request = trainRequest(results, { trainerName, changes, sampleThreads });
        const { summary } = await trainModel(request, listening());
        assertEquals(summary.cases.length, 2);
        const model = join(results.results, `${trainerName}_test__nnUNetPlans__tiny`);
        using checkpoint = await openCheckpoint(join(model, "fold_0", "checkpoint_final.pth"));
        assertEquals(checkpoint.trainerName, trainerName);
        assertEquals(checkpoint.mirrorAxes, [0, 1, 2]);
        contents.push(Array.from(checkpoint.weights, ([name, tensor]) => [name, tensor.read()]));
      }
      assertEquals(contents[0], contents[1]);
    }));
}
