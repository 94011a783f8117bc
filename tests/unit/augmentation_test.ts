/** What a trainer's options make of augmentation, validation samples, and memory that is used again. */
import { createRandomStream } from "../../core/base/random_stream.ts";
import { type Vec3, voxelCount } from "../../core/base/shape.ts";
import { augmentSample, validationSample } from "../../core/train/augment/augment_sample.ts";
import { drawAugmentation } from "../../core/train/augment/draw_augmentation.ts";
import { createPower } from "../../core/train/augment/power.ts";
import { createAugmentationBuffers, type LoadedPatch } from "../../core/train/augment/sample.ts";
import { type AugmentationSpec, deriveAugmentation } from "../../core/train/augment/spec.ts";
import { STANDARD_AUGMENTATION } from "../../core/trainers/training_recipe.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";

const CONFIGURATION = { dimensions: 3, patchSize: [12, 14, 10], useMaskForNorm: [false, true] } as const;
const FLAT = { dimensions: 2, patchSize: [1, 20, 24], useMaskForNorm: [false, false] } as const;
const LABELS = { foregroundLabels: [1, 2] };

function loadedPatch(spec: AugmentationSpec, size: Vec3): LoadedPatch {
  const voxels = voxelCount(size);
  const labels = Int16Array.from({ length: voxels }, (_, i) => (Math.floor(i / 5) % 4) - 1);
  return {
    image: Float32Array.from({ length: spec.channels * voxels }, (_, i) => Math.sin(i * 0.7)),
    labels,
    ...(spec.cascadeLabels ? { previous: labels.map((label) => label === 1 ? 2 : Math.max(label, 0)) } : {}),
    size,
  };
}

Deno.test("mirror axes follow the trainer, and are stored as the network's axes", () => {
  const axes = (configuration: typeof CONFIGURATION | typeof FLAT, mirroring: "all" | "none" | "axes01") => {
    const derived = deriveAugmentation(configuration, 2, LABELS, { ...STANDARD_AUGMENTATION, mirroring });
    return [derived.spec.mirrorAxes, derived.inferenceMirrorAxes];
  };
  assertEquals(axes(CONFIGURATION, "all"), [[0, 1, 2], [0, 1, 2]]);
  assertEquals(axes(CONFIGURATION, "axes01"), [[0, 1], [0, 1]]);
  assertEquals(axes(FLAT, "all"), [[1, 2], [0, 1]]);
  assertEquals(axes(FLAT, "axes01"), [[1], [0]]);
  assertEquals(axes(FLAT, "none"), [[], null]);
});

Deno.test("without augmentation a training sample is a validation sample", () => {
  const options = { ...STANDARD_AUGMENTATION, recipe: "none" } as const;
  const { spec, inferenceMirrorAxes } = deriveAugmentation(CONFIGURATION, 2, LABELS, options);
  assertEquals([spec.loadPatch, inferenceMirrorAxes], [[12, 14, 10], null]);
  const loaded = loadedPatch(spec, spec.patch);
  const stream = createRandomStream({ seed: 1, epoch: 0, iteration: 0, sample: 0, purpose: 1 });
  const trained = augmentSample(spec, loaded, drawAugmentation(stream, spec), createAugmentationBuffers(spec));
  const validated = validationSample(spec, loaded, createAugmentationBuffers(spec));
  assertEquals(trained, validated);
  assertEquals(validated.image, loaded.image);
  assertEquals(validated.labels, loaded.labels.map((label) => Math.max(label, 0)));
});

Deno.test("a validation sample has the previous stage's labels as masks behind the image", () => {
  const { spec } = deriveAugmentation(
    { ...CONFIGURATION, previousStage: "3d_lowres" },
    2,
    LABELS,
    STANDARD_AUGMENTATION,
  );
  const loaded = loadedPatch(spec, spec.patch);
  const { image } = validationSample(spec, loaded, createAugmentationBuffers(spec));
  const voxels = voxelCount(spec.patch);
  assertEquals(image.length, 4 * voxels);
  assertEquals(image.subarray(0, 2 * voxels), loaded.image);
  for (const label of [1, 2]) {
    const mask = Float32Array.from(loaded.previous ?? [], (one) => one === label ? 1 : 0);
    assertEquals(image.subarray((1 + label) * voxels, (2 + label) * voxels), mask);
  }
});

Deno.test("samples do not depend on what the memory held before, and their loaded patches stay as they are", () => {
  const { spec } = deriveAugmentation(
    { ...CONFIGURATION, previousStage: "3d_lowres" },
    2,
    LABELS,
    STANDARD_AUGMENTATION,
  );
  const used = createAugmentationBuffers(spec);
  const loaded = loadedPatch(spec, spec.loadPatch);
  for (let iteration = 0; iteration < 40; iteration++) {
    const stream = () => createRandomStream({ seed: 5, epoch: 0, iteration, sample: 0, purpose: 1 });
    const parameters = drawAugmentation(stream(), spec);
    const again = augmentSample(spec, loaded, structuredClone(parameters), used);
    const fresh = augmentSample(spec, loaded, parameters, createAugmentationBuffers(spec));
    assertEquals(again, fresh);
    assert(again.image.every(Number.isFinite) && again.labels.every((label) => label >= 0 && label <= 2));
  }
  assertEquals(loaded, loadedPatch(spec, spec.loadPatch));
});

Deno.test("a loaded patch of another size, or without its previous stage, is refused", async () => {
  const { spec } = deriveAugmentation(
    { ...CONFIGURATION, previousStage: "3d_lowres" },
    2,
    LABELS,
    STANDARD_AUGMENTATION,
  );
  const buffers = createAugmentationBuffers(spec);
  const nothing = { steps: [], cascade: [] };
  const small = loadedPatch(spec, spec.patch);
  await assertFails(() => augmentSample(spec, small, nothing, buffers), RangeError, "loaded 12 x 14 x 10");
  const { previous: _, ...without } = loadedPatch(spec, spec.loadPatch);
  await assertFails(() => augmentSample(spec, without, nothing, buffers), RangeError, "previous stage");
  const tiny = loadedPatch(spec, [12, 14, 9]);
  await assertFails(() => validationSample(spec, tiny, buffers), RangeError, "12 x 14 x 9");
});

Deno.test("powers by table are within 1e-7 of Math.pow's", () => {
  for (const p of [0.7, 1, 1.23, 1.5]) {
    const power = createPower(p);
    for (const x of [0, -1, 1, 1.5]) assertEquals(power.raise(x), x > 0 ? 1 : 0);
    for (let i = 1; i < 5000; i++) {
      const x = Math.fround((i / 5000) ** 4);
      assert(Math.abs(power.raise(x) / x ** p - 1) < 1e-7, `${x}^${p}: ${power.raise(x)}`);
    }
  }
});
