/** Each transform of the augmentation, and all of them in order, against upstream's with the same parameters (make_augmentation_golden.py). */
import { type Vec3, voxelCount } from "../../core/base/shape.ts";
import { augmentSample } from "../../core/train/augment/augment_sample.ts";
import { blur } from "../../core/train/augment/blur.ts";
import { removeComponent } from "../../core/train/augment/components.ts";
import { changeContrast, changeGamma, scaleBrightness } from "../../core/train/augment/intensity.ts";
import { lowResolutionSize, simulateLowResolution } from "../../core/train/augment/low_resolution.ts";
import { applyOperator, structuringElement } from "../../core/train/augment/masks.ts";
import type { SpatialParameters } from "../../core/train/augment/parameters.ts";
import { createAugmentationBuffers } from "../../core/train/augment/sample.ts";
import { spatialTransform } from "../../core/train/augment/spatial.ts";
import { type AugmentationSpec, deriveAugmentation } from "../../core/train/augment/spec.ts";
import { STANDARD_AUGMENTATION } from "../../core/trainers/training_recipe.ts";
import type { AugmentationStep, BinaryOperator, CascadeStep } from "../../core/train/augment/steps.ts";
import { assert, assertEquals } from "../assert.ts";
import { bytes, floats, image, ints, labels, thinned } from "./augmentation/inputs.ts";

interface Golden {
  readonly step: number;
  readonly spatial: readonly {
    readonly name: string;
    readonly loaded: Vec3;
    readonly patch: Vec3;
    readonly planar: boolean;
    readonly nearest: boolean;
    readonly crop: boolean;
    readonly angles: Vec3;
    readonly scale: number;
    readonly labels: readonly [number, number];
    readonly outImage: string;
    readonly outLabels: string;
  }[];
  readonly blur: readonly { readonly size: Vec3; readonly sigmas: Vec3; readonly out: string }[];
  readonly intensity: readonly {
    readonly phase: number;
    readonly factor: number;
    readonly gamma: number;
    readonly outGamma: string;
    readonly outGammaInverted: string;
    readonly outBrightness: string;
    readonly outContrast: string;
  }[];
  readonly lowResolution: readonly {
    readonly size: Vec3;
    readonly scale: number;
    readonly keepZ: boolean;
    readonly out: string;
  }[];
  readonly operators: readonly {
    readonly size: Vec3;
    readonly radius: number;
    readonly operator: BinaryOperator;
    readonly out: string;
  }[];
  readonly operatorSequence: {
    readonly size: Vec3;
    readonly steps: readonly (readonly [number, BinaryOperator, number])[];
    readonly out: string;
  };
  readonly components: { readonly size: Vec3; readonly mask: string; readonly results: readonly string[] };
  readonly initialPatch: readonly {
    readonly patch: readonly number[];
    readonly degrees: number;
    readonly loaded: readonly number[];
  }[];
  readonly whole: readonly {
    readonly name: string;
    readonly loaded: Vec3;
    readonly patch: Vec3;
    readonly dimensions: 2 | 3;
    readonly channels: number;
    readonly cascade: readonly number[] | null;
    readonly masked: readonly number[];
    readonly spatial: SpatialParameters;
    readonly steps: readonly AugmentationStep[];
    readonly cascadeSteps: readonly CascadeStep[];
    readonly outImage: string;
    readonly outLabels: string;
  }[];
}

const golden: Golden = JSON.parse(
  Deno.readTextFileSync(new URL("./augmentation/transforms.json", import.meta.url)),
);
/** Of values around 10; upstream's positions are float32. */
const IMAGE_TOLERANCE = 2e-4;
const TOLERANCE = 2e-5;
/** Upstream's float32 is up to 3e-5 from its own float64 on these images. */
const LOW_RESOLUTION_TOLERANCE = 5e-5;
/** Where upstream's float32 positions may tip a vote. */
const LABELS_THAT_MAY_DIFFER = 2;

function assertNear(actual: Float32Array, expected: string, tolerance: number): void {
  const [a, b] = [thinned(actual, golden.step), floats(expected)];
  assertEquals(a.length, b.length);
  b.forEach((value, i) => assert(Math.abs(a[i] - value) <= tolerance, `${i}: ${a[i]}, expected ${value}`));
}

function scratchOf(size: Vec3): readonly [Float32Array, Float32Array] {
  return [new Float32Array(voxelCount(size)), new Float32Array(voxelCount(size))];
}

function specOf(patch: Vec3, loadPatch: Vec3, planar: boolean, more: Partial<AugmentationSpec>): AugmentationSpec {
  return {
    recipe: "standard",
    dimensions: patch[0] === 1 ? 2 : 3,
    channels: 2,
    patch,
    loadPatch,
    planar,
    maxRotation: Math.PI,
    labelInterpolation: "linear",
    imageInterpolation: "linear",
    turnableAxes: [],
    mirrorAxes: [],
    maskedChannels: [],
    ...more,
  };
}

for (const one of golden.spatial) {
  Deno.test(`the spatial transform equals upstream's: ${one.name}`, () => {
    const { patch, loaded, planar, angles, scale } = one;
    const spec = specOf(patch, loaded, planar, { labelInterpolation: one.nearest ? "nearest" : "linear" });
    const transform = spatialTransform(spec, loaded, one.crop ? undefined : { angles, scale });
    const outImage = new Float32Array(2 * voxelCount(patch)).fill(NaN);
    transform.image(image(2 * voxelCount(loaded), 0), outImage);
    assertNear(outImage, one.outImage, IMAGE_TOLERANCE);
    const outLabels = new Int16Array(voxelCount(patch)).fill(-9);
    transform.labels(labels(loaded, ...one.labels), outLabels);
    const expected = ints(one.outLabels);
    const differing = outLabels.filter((label, i) => label !== expected[i]).length;
    assert(differing <= (one.crop ? 0 : LABELS_THAT_MAY_DIFFER), `${differing} labels differ`);
  });
}

Deno.test("blur equals upstream's, with kernels of 3, 5 and 7 voxels, in 2-D and 3-D", () => {
  for (const { size, sigmas, out } of golden.blur) {
    const values = image(voxelCount(size), 0.5);
    blur(values, size, sigmas, scratchOf(size));
    assertNear(values, out, TOLERANCE);
  }
});

Deno.test("blur reflects more than once where an axis is shorter than the kernel", () => {
  const size: Vec3 = [1, 2, 1];
  const values = Float32Array.from([0, 1]);
  blur(values, size, [1, 1, 1], scratchOf(size));
  // Along y the reflected line is 0 1 0 1 0 1: even distances keep, odd ones swap.
  const weights = [0, 1, 2, 3].map((x) => Math.exp(-0.5 * x * x));
  const odd = 2 * (weights[1] + weights[3]) / (weights[0] + 2 * (weights[1] + weights[2] + weights[3]));
  assert(Math.abs(values[0] - odd) < 1e-6 && Math.abs(values[1] - (1 - odd)) < 1e-6, `${values}`);
});

Deno.test("brightness, contrast and both gammas equal upstream's", () => {
  for (const one of golden.intensity) {
    const changed = (change: (values: Float32Array) => void) => {
      const values = image(5 * 6 * 7, one.phase);
      change(values);
      return values;
    };
    assertNear(changed((v) => scaleBrightness(v, one.factor)), one.outBrightness, TOLERANCE);
    assertNear(changed((v) => changeContrast(v, one.factor)), one.outContrast, TOLERANCE);
    assertNear(changed((v) => changeGamma(v, one.gamma, false)), one.outGamma, TOLERANCE);
    assertNear(changed((v) => changeGamma(v, one.gamma, true)), one.outGammaInverted, TOLERANCE);
  }
});

Deno.test("contrast and gamma leave a constant channel as it is", () => {
  for (const inverted of [false, true]) {
    const values = new Float32Array(27).fill(-3.5);
    changeContrast(values, 1.2);
    changeGamma(values, 0.8, inverted);
    assertEquals(values, new Float32Array(27).fill(-3.5));
  }
});

Deno.test("low resolution equals upstream's", () => {
  for (const { size, scale, keepZ, out } of golden.lowResolution) {
    const values = image(voxelCount(size), 2);
    simulateLowResolution(values, size, lowResolutionSize(size, scale, keepZ), scratchOf(size));
    assertNear(values, out, LOW_RESOLUTION_TOLERANCE);
  }
});

Deno.test("dilation, erosion, closing and opening equal upstream's, voxel for voxel", () => {
  for (const { size, radius, operator, out } of golden.operators) {
    const mask = Float32Array.from(labels(size, 3, 0), (label) => label === 1 ? 1 : 0);
    applyOperator(mask, size, 0, 1, 0, operator, structuringElement(radius, size[0] === 1 ? 2 : 3));
    const bits = bytes(out);
    const expected = mask.map((_, i) => (bits[i >> 3] >> (i & 7)) & 1);
    assertEquals(mask, expected, `${operator} ${radius} of ${size}`);
  }
});

Deno.test("what a mask gains is taken from the other masks", () => {
  const { size, steps, out } = golden.operatorSequence;
  const source = labels(size, 4, 0);
  // A channel before the masks, which stays as it is.
  const all = new Float32Array(4 * source.length).fill(7);
  for (const value of [1, 2, 3]) source.forEach((label, i) => all[value * source.length + i] = label === value ? 1 : 0);
  for (const [mask, operator, radius] of steps) {
    applyOperator(all, size, 1, 3, mask, operator, structuringElement(radius, 3));
  }
  assertEquals(Int8Array.from(all.subarray(source.length)), ints(out));
  assert(all.subarray(0, source.length).every((value) => value === 7));
});

Deno.test("the components that can be removed are upstream's", () => {
  const { size, mask, results } = golden.components;
  const made = new Set<string>();
  for (let i = 0; i < 50; i++) {
    const values = Float32Array.from(ints(mask));
    removeComponent(values, size, i / 50);
    made.add(Int8Array.from(values).join(""));
  }
  assertEquals([...made].sort(), results.map((result) => ints(result).join("")).sort());
});

Deno.test("an empty mask and one of large components stay as they are", () => {
  for (const value of [0, 1]) {
    const values = new Float32Array(24).fill(value);
    removeComponent(values, [2, 3, 4], 0.5);
    assertEquals(values, new Float32Array(24).fill(value));
  }
});

Deno.test("patches are loaded as large as upstream's", () => {
  for (const { patch, degrees, loaded } of golden.initialPatch) {
    const [z, y, x] = patch.length === 3 ? patch : [1, ...patch];
    const configuration = { dimensions: patch.length === 3 ? 3 : 2, patchSize: [z, y, x], useMaskForNorm: [] } as const;
    const { spec } = deriveAugmentation(configuration, 1, { foregroundLabels: [1] }, STANDARD_AUGMENTATION);
    assertEquals(spec.loadPatch, loaded.length === 3 ? loaded : [1, ...loaded]);
    assert(Math.abs(spec.maxRotation - degrees / 180 * Math.PI) < 1e-12);
  }
});

for (const one of golden.whole) {
  Deno.test(`a whole sample equals upstream's: ${one.name}`, () => {
    const { loaded, patch, channels, cascade, spatial, steps, cascadeSteps } = one;
    const spec = specOf(patch, loaded, spatial.angles[1] === 0, {
      channels,
      dimensions: one.dimensions,
      maskedChannels: one.masked,
      ...(cascade ? { cascadeLabels: cascade } : {}),
    });
    const sample = {
      image: image(channels * voxelCount(loaded), 0.3),
      labels: labels(loaded, 4, -1),
      size: loaded,
      ...(cascade ? { previous: labels(loaded, 5, 0) } : {}),
    };
    const buffers = createAugmentationBuffers(spec);
    const result = augmentSample(spec, sample, { spatial, steps, cascade: cascadeSteps }, buffers);
    // Masked and one-hot voxels follow the labels: where a vote tips, they differ by whole values.
    const expectedLabels = ints(one.outLabels);
    const differing = result.labels.filter((label, i) => label !== expectedLabels[i]).length;
    assert(differing <= LABELS_THAT_MAY_DIFFER, `${differing} labels differ`);
    const [values, expected] = [thinned(result.image, golden.step), floats(one.outImage)];
    const far = values.filter((value, i) => !(Math.abs(value - expected[i]) <= 1e-3)).length;
    assert(far <= differing, `${far} values differ by more than 1e-3`);
  });
}
